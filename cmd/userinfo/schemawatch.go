package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/schema"
	"userinfo/store"
)

const (
	// schemaInterval is the mean time between two comparisons while the service serves.
	schemaInterval = time.Minute
	// schemaTimeout is the time limit of one comparison.
	schemaTimeout = 20 * time.Second
)

// schemaWatch compares the schema of the database with the configuration, at the start and while the service serves. It logs
// each difference when it appears and when it is gone. Only one goroutine may use it.
//
// A difference that appears while the service serves does not stop the service, because all instances would stop at once. If
// a table cannot be read any more, /readyz is 503 in any case: see backend.ready.
type schemaWatch struct {
	log   *slog.Logger
	known map[string]schema.Difference // by object
	// failing means that the last comparison in run could not read the schema.
	failing bool

	differences, warnings, failed prometheus.Gauge
}

func newSchemaWatch(registry prometheus.Registerer, log *slog.Logger) *schemaWatch {
	w := &schemaWatch{
		log: log, known: make(map[string]schema.Difference),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{Name: "userinfo_schema_differences",
			Help: "Differences between the schema and what the service needs, at the last comparison. NaN before the first."}),
		warnings: prometheus.NewGauge(prometheus.GaugeOpts{Name: "userinfo_schema_warnings",
			Help: "Warnings about Cassandra's settings and tables, at the last comparison. NaN before the first."}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "userinfo_schema_check_failed",
			Help: "1 if the schema could not be read at the last comparison, or has not been read yet."}),
	}
	registry.MustRegister(w.differences, w.warnings, w.failed)
	w.differences.Set(math.NaN())
	w.warnings.Set(math.NaN())
	w.failed.Set(1)
	return w
}

// requireUsable compares once. It returns an error that wraps store.ErrNotReady if the service cannot work with the schema, or
// if the schema cannot be read.
func (w *schemaWatch) requireUsable(ctx context.Context, check checkSchema) error {
	differences, err := w.compare(ctx, check)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotConnected, err)
	}
	if n := len(schema.Blocking(differences)); n > 0 {
		return fmt.Errorf("%w (differences: %d); `userinfo schema check` lists them, and `userinfo schema apply` may repair them", store.ErrSchemaDiffers, n)
	}
	return nil
}

// run compares about once a minute until ctx ends. The interval varies, so that instances do not ask all at once.
func (w *schemaWatch) run(ctx context.Context, check checkSchema) {
	for {
		pause := schemaInterval*9/10 + rand.N(schemaInterval/5)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		_, err := w.compare(ctx, check)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !w.failing:
			w.log.Warn("the schema cannot be compared with the configuration; trying again", "error", err.Error())
		case err == nil && w.failing:
			w.log.Info("the schema can be compared with the configuration again")
		}
		w.failing = err != nil
	}
}

// compare reads the schema once and records the differences. After an error, the differences of the last comparison stay.
func (w *schemaWatch) compare(ctx context.Context, check checkSchema) ([]schema.Difference, error) {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	differences, err := check(ctx)
	if err != nil {
		w.failed.Set(1)
		return nil, err
	}
	w.failed.Set(0)
	w.record(differences)
	return differences, nil
}

// record logs what has changed since the last comparison.
func (w *schemaWatch) record(differences []schema.Difference) {
	now := make(map[string]schema.Difference)
	for _, d := range differences {
		now[d.Object] = d
		if w.known[d.Object] != d {
			w.logDifference(d)
		}
	}
	for object := range w.known {
		if _, still := now[object]; !still {
			w.log.Info("a difference is gone", "object", object)
		}
	}
	w.known = now
	blocking := len(schema.Blocking(differences))
	w.differences.Set(float64(blocking))
	w.warnings.Set(float64(len(differences) - blocking))
}

func (w *schemaWatch) logDifference(d schema.Difference) {
	level, text := slog.LevelError, "the schema differs from what the service needs"
	if d.Warning {
		level, text = slog.LevelWarn, "warning about Cassandra; see remedy"
	}
	w.log.Log(context.Background(), level, text, "object", d.Object, "have", d.Have, "want", d.Want, "remedy", d.Remedy)
}
