package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/schema"
	"userinfo/store"
)

func TestSchemaWatch_CountsAndNamesDifferencesWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := newSchemaWatch(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&out, nil)))
		if v := testutil.ToFloat64(w.differences); !math.IsNaN(v) || testutil.ToFloat64(w.failed) != 1 {
			t.Errorf("before the first comparison, %v differences", v)
		}
		var d testDatabase
		began := time.Now()
		go w.run(t.Context(), d.checkSchema)
		changed := wrongTable
		changed.Have = "a view"
		for i, step := range []struct {
			differences             []schema.Difference
			err                     error
			count, warnings, failed float64
			logs                    []string // new records
		}{
			{nil, nil, 0, 0, 0, nil},
			{[]schema.Difference{wrongTable, lowSetting}, nil, 1, 1, 0, []string{
				`level=ERROR msg="the schema differs from what the service needs" object="table userinfo.sessions" have=none`,
				`level=WARN msg="warning about Cassandra; see remedy" object="setting x"`}},
			{[]schema.Difference{wrongTable, lowSetting}, nil, 1, 1, 0, nil},
			{nil, errUnread, 1, 1, 1, []string{`level=WARN msg="the schema cannot be compared with the configuration; trying again" error="the schema cannot be read"`}},
			{nil, errUnread, 1, 1, 1, nil},
			{[]schema.Difference{changed}, nil, 1, 0, 0, []string{
				`level=ERROR msg="the schema differs from what the service needs" object="table userinfo.sessions" have="a view"`,
				`level=INFO msg="a difference is gone" object="setting x"`,
				`level=INFO msg="the schema can be compared with the configuration again"`}},
			{nil, nil, 0, 0, 0, []string{`level=INFO msg="a difference is gone" object="table userinfo.sessions"`}},
		} {
			out.Reset()
			d.set(nil, step.err, step.differences...)
			for before := d.checks.Load(); d.checks.Load() == before; synctest.Wait() {
				time.Sleep(time.Second)
			}
			got := [3]float64{testutil.ToFloat64(w.differences), testutil.ToFloat64(w.warnings), testutil.ToFloat64(w.failed)}
			if want := [3]float64{step.count, step.warnings, step.failed}; got != want {
				t.Errorf("step %d: differences, warnings and failed are %v; want %v", i, got, want)
			}
			if n := strings.Count(out.String(), "\n"); n != len(step.logs) {
				t.Errorf("step %d: %d records; want %d:\n%s", i, n, len(step.logs), out.String())
			}
			for _, want := range step.logs {
				if !strings.Contains(out.String(), want) {
					t.Errorf("step %d: no %s in\n%s", i, want, out.String())
				}
			}
		}
		if took := time.Since(began); took < 7*54*time.Second || took > 7*67*time.Second {
			t.Errorf("7 comparisons took %v; want about a minute for each", took)
		}
	})
}

// TestSchemaWatch_RequiresUsableSchema has the empty case: nothing is known of the schema, so it cannot be used.
func TestSchemaWatch_RequiresUsableSchema(t *testing.T) {
	for name, test := range map[string]struct {
		differences []schema.Difference
		err         error
		want        error
	}{
		"no difference":                {nil, nil, nil},
		"only warnings":                {[]schema.Difference{lowSetting}, nil, nil},
		"a difference":                 {[]schema.Difference{lowSetting, wrongTable}, nil, store.ErrSchemaDiffers},
		"an empty difference":          {[]schema.Difference{{}}, nil, store.ErrSchemaDiffers},
		"a schema that cannot be read": {nil, errUnread, store.ErrNotConnected},
		"a comparison without an end":  {nil, context.DeadlineExceeded, store.ErrNotConnected},
	} {
		w := newSchemaWatch(prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		var d testDatabase
		d.set(nil, test.err, test.differences...)
		err := w.requireUsable(t.Context(), d.checkSchema)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || err != nil && !errors.Is(err, store.ErrNotReady) {
			t.Errorf("%s: %v; want %v", name, err, test.want)
		}
	}
}
