package clockskew

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// skew is the difference between another clock and the clock of this instance.
type skew struct {
	kind     string        // "cassandra", "instance" or "this instance"
	name     string        // the address of a node, or DATACENTRE/NAME of an instance; empty for this instance
	ahead    time.Duration // negative if the other clock is behind
	maxError time.Duration // the true skew is at most this far from ahead, either way
}

// relativeTo returns the skew against a clock that is ahead of this instance by reference.
func (s skew) relativeTo(reference time.Duration) skew { s.ahead -= reference; return s }

// isWrong reports whether the skew is certainly at least the tolerance, even with the largest possible error.
func (s skew) isWrong() bool { return s.ahead.Abs()-s.maxError >= tolerance }

// String returns a text such as "cassandra 10.0.0.1 behind by 1s ±1ms".
func (s skew) String() string {
	direction := "ahead"
	if s.ahead < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("%s %s by %v", strings.TrimSpace(s.kind+" "+s.name), direction, s.ahead.Abs().Round(time.Millisecond))
	if s.maxError > 0 {
		text += fmt.Sprintf(" ±%v", s.maxError.Round(time.Millisecond))
	}
	return text
}

// wrongClocks returns the clocks that are wrong. The clock of this instance takes part too.
//
// If more than half of the clocks agree with the median, the clocks that disagree with the median are wrong, and
// majority is true. Otherwise nobody knows which clock is right; wrongClocks returns the clocks that disagree with this
// instance.
func wrongClocks(others []skew) (wrong []skew, majority bool) {
	all := append([]skew{{kind: "this instance"}}, others...)
	slices.SortStableFunc(all, func(a, b skew) int { return int(a.ahead - b.ahead) })
	reference := all[(len(all)-1)/2].ahead // the median
	agree := 0
	for _, s := range all {
		if !s.relativeTo(reference).isWrong() {
			agree++
		}
	}
	if majority = 2*agree > len(all); !majority {
		reference = 0
	}
	for _, s := range all {
		if s = s.relativeTo(reference); s.isWrong() {
			wrong = append(wrong, s)
		}
	}
	return wrong, majority
}
