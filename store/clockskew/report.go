package clockskew

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// A warning is repeated after repeatInterval if the same clocks are still wrong. Two warnings are never closer than
// quietInterval.
const (
	repeatInterval = 10 * time.Minute
	quietInterval  = time.Minute
)

// reporter publishes skews as metrics and logs warnings.
type reporter struct {
	log       *slog.Logger
	metrics   *Metrics
	published map[label]bool
	warned    string    // the clocks that the last warning has named; empty if all is well
	warnedAt  time.Time // the time of the last warning
}

// label identifies the metrics of one clock.
type label struct{ kind, name string }

func newReporter(log *slog.Logger, m *Metrics) reporter {
	return reporter{log: log, metrics: m, published: make(map[label]bool)}
}

// report publishes all current skews, and removes the metrics of clocks that are no longer compared.
func (r *reporter) report(ctx context.Context, skews []skew) {
	current := make(map[label]bool)
	for _, s := range skews {
		r.metrics.skew.WithLabelValues(s.kind, s.name).Set(s.ahead.Seconds())
		r.metrics.maxError.WithLabelValues(s.kind, s.name).Set(s.maxError.Seconds())
		current[label{s.kind, s.name}] = true
	}
	for l := range r.published {
		if !current[l] {
			r.metrics.skew.DeleteLabelValues(l.kind, l.name)
			r.metrics.maxError.DeleteLabelValues(l.kind, l.name)
		}
	}
	r.published = current
	r.warn(ctx, skews)
}

// advice says what to do about a wrong clock, and why.
const advice = "synchronize these clocks with NTP (with chrony, `chronyc tracking` and `chronyc sources` show what is wrong, and " +
	"`chronyc makestep` corrects the clock at once). Of two writes through different instances the one with the later clock wins. " +
	"Instances that differ by more than a collection's fence can undo a logout. A wrong clock of a node moves the expiry of values and the end of fences"

func (r *reporter) warn(ctx context.Context, skews []skew) {
	wrong, majority := wrongClocks(skews)
	var names, texts []string
	for _, s := range wrong {
		names, texts = append(names, s.kind+" "+s.name), append(texts, s.String())
	}
	now := strings.Join(names, ", ")
	if now == "" {
		if r.warned != "" {
			r.log.InfoContext(ctx, "clocks agree again", "compared", len(skews)+1)
		}
		r.warned = ""
		return
	}
	quiet := time.Since(r.warnedAt)
	if quiet < quietInterval || now == r.warned && quiet < repeatInterval {
		return
	}
	message := "clocks are wrong by 100 ms or more, according to the majority of the compared clocks"
	if !majority {
		message = "clocks differ from this instance's clock by 100 ms or more, and there is no majority that shows which clock is right"
	}
	r.log.WarnContext(ctx, message, "wrong", texts, "compared", len(skews)+1, "do", advice)
	r.warned, r.warnedAt = now, time.Now()
}
