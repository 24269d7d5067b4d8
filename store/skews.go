package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// skew is how far another clock is ahead of this instance's, give or take bound.
type skew struct {
	kind, of     string // "cassandra" and an address, or "instance", its datacentre and its name
	ahead, bound time.Duration
}

func (s skew) from(ahead time.Duration) skew { s.ahead -= ahead; return s }

// off tells whether it is clockLimit or more from right, for sure.
func (s skew) off() bool { return s.ahead.Abs()-s.bound >= clockLimit }

func (s skew) String() string {
	where := "ahead"
	if s.ahead < 0 {
		where = "behind"
	}
	text := fmt.Sprintf("%s %s by %v", strings.TrimSpace(s.kind+" "+s.of), where, s.ahead.Abs().Round(time.Millisecond))
	if s.bound > 0 {
		text += fmt.Sprintf(" ±%v", s.bound.Round(time.Millisecond))
	}
	return text
}

// judge tells which clocks are off, this instance's included. Where more than half agree, those that do not agree with
// them; where there is no such majority, those that do not agree with this instance's.
func judge(others []skew) (off []skew, majority bool) {
	all := append([]skew{{kind: "this instance"}}, others...)
	slices.SortStableFunc(all, func(a, b skew) int { return int(a.ahead - b.ahead) })
	right := all[(len(all)-1)/2].ahead
	agree := 0
	for _, s := range all {
		if !s.from(right).off() {
			agree++
		}
	}
	if majority = 2*agree > len(all); !majority {
		right = 0
	}
	for _, s := range all {
		if s = s.from(right); s.off() {
			off = append(off, s)
		}
	}
	return off, majority
}

// skewBook publishes skews and remembers what it has said of them.
type skewBook struct {
	tools     ClockTools
	published map[[2]string]bool
	off       string    // the clocks that the last warning named; empty where all was well since
	said      time.Time // when that was
}

func newSkewBook(tools ClockTools) skewBook {
	return skewBook{tools: tools, published: make(map[[2]string]bool)}
}

// remedy is what the log says is to be done, and why.
const remedy = "set these clocks right with NTP or chrony (`chronyc tracking` and `chronyc sources` say what is wrong; `chronyc makestep` " +
	"corrects at once). Of writes through two instances the one with the later clock wins; instances apart by more than a " +
	"collection's fence can undo a logout; a node's clock moves the expiry of values, and the end of fences, by as much"

// report publishes all skews there are now, in place of those before, and warns.
func (b *skewBook) report(ctx context.Context, all []skew) {
	now := make(map[[2]string]bool)
	for _, s := range all {
		b.tools.Metrics.skew.WithLabelValues(s.kind, s.of).Set(s.ahead.Seconds())
		b.tools.Metrics.skewBound.WithLabelValues(s.kind, s.of).Set(s.bound.Seconds())
		now[[2]string{s.kind, s.of}] = true
	}
	for label := range b.published {
		if !now[label] {
			b.tools.Metrics.skew.DeleteLabelValues(label[0], label[1])
			b.tools.Metrics.skewBound.DeleteLabelValues(label[0], label[1])
		}
	}
	b.published = now
	b.warn(ctx, all)
}

func (b *skewBook) warn(ctx context.Context, all []skew) {
	off, majority := judge(all)
	var names, texts []string
	for _, s := range off {
		names, texts = append(names, s.kind+" "+s.of), append(texts, s.String())
	}
	which, quiet := strings.Join(names, ", "), time.Since(b.said)
	switch {
	case which == "" && b.off != "":
		b.tools.Log.InfoContext(ctx, "clocks agree again", "compared", len(all)+1)
	case which == "", which == b.off && quiet < clockReminder, quiet < clockQuiet:
		return
	case majority:
		b.tools.Log.WarnContext(ctx, "clocks are wrong by 100 ms or more, by the majority of those compared",
			"off", texts, "compared", len(all)+1, "do", remedy)
		b.said = time.Now()
	default:
		b.tools.Log.WarnContext(ctx, "clocks differ by 100 ms or more from this instance's, and no majority tells which is right",
			"off", texts, "compared", len(all)+1, "do", remedy)
		b.said = time.Now()
	}
	b.off = which
}
