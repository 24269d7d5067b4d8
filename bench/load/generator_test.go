package load

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/bench/result"
)

// gets is a workload of gets alone.
var gets = Workload{Name: "gets", Get: 100, ValueBytes: Session, Keys: Uniform}

var ten = Dataset{Values: 10, ValueBytes: Session}

// inBubble runs a generator of a spec on a store, by a clock that is exact.
func inBubble(t *testing.T, store *fakeStore, s Spec, do func(t *testing.T, g *Generator)) {
	synctest.Test(t, func(t *testing.T) {
		if s.Data.Values == 0 {
			s.Data = ten
		}
		g, err := NewGenerator(store, s)
		if err != nil {
			t.Fatal(err)
		}
		g.clock = newBubbleClock
		do(t, g)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if store.made-store.closed != 0 {
			t.Errorf("%d connections were made, %d closed", store.made, store.closed)
		}
	})
}

func round(t *testing.T, g *Generator, r Round) result.Sample {
	t.Helper()
	p, err := g.Round(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return Merge(p)
}

// slowly is a store that takes as long for each request.
func slowly(d time.Duration) *fakeStore {
	return (&fakeStore{takes: func(int, *Op) error { time.Sleep(d); return nil }}).fill(ten)
}

// within compares durations that a histogram rounds to three digits.
func within(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= float64(want)/500+float64(2*time.Microsecond)
}

func TestOpenSendsWhenItIsDue(t *testing.T) {
	inBubble(t, slowly(5*time.Millisecond), Spec{Workload: gets, Connections: 3}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Number: 4, Mode: result.Open, Rate: 100, Seconds: 2.5, Even: true})
		if s.Done != 249 || s.Errored() != 0 || s.Seconds != 2.5 || s.Rate != 100 || s.Round != 4 || s.Connections != 3 {
			t.Errorf("%+v", s)
		}
		if s.Late.Max() > 1 || !within(s.Latency.At(0.5), 5*time.Millisecond) || !within(s.Latency.At(1), 5*time.Millisecond) {
			t.Errorf("late %v µs, latency %v to %v", s.Late.Max(), s.Latency.At(0.5), s.Latency.At(1))
		}
		if s.Sent != 10*249 || s.Received != 100*249 {
			t.Errorf("sent %d, received %d", s.Sent, s.Received)
		}
		var seconds []int64
		for _, second := range s.Series {
			seconds = append(seconds, second.Done)
		}
		if !slices.Equal(seconds, []int64{99, 100, 50}) {
			t.Errorf("the seconds are %v", seconds)
		}
	})
}

// One connection, 20 ms for a request, and one due every 10 ms: each has 10 ms more to wait than the one before.
func TestOpenLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	inBubble(t, slowly(20*time.Millisecond), Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Open, Rate: 100, Seconds: 1.005, Even: true})
		if s.Done != 100 || !within(s.Latency.At(1), 1010*time.Millisecond) || !within(s.Latency.At(0.5), 510*time.Millisecond) {
			t.Errorf("%d done, p50 %v, longest %v", s.Done, s.Latency.At(0.5), s.Latency.At(1))
		}
		if s.InTime < 53 || s.InTime > 55 { // 1.105 s of 20 ms each
			t.Errorf("%d in time: what is answered when the schedule is over counts", s.InTime)
		}
		if s.Late.Max() > 1 {
			t.Errorf("a target's slowness counts as the generator's lateness: %d µs", s.Late.Max())
		}
	})
}

func TestOpenGivesUpWhatIsLaterThanPatience(t *testing.T) {
	inBubble(t, slowly(2*time.Second), Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Open, Rate: 10, Seconds: 0.55, Even: true})
		// Due at 0.1 s to 0.5 s: one is answered at 2.1 s, one too late at 4.1 s, and by then the others have waited too long.
		if s.Done != 1 || s.Errors[timeout] != 1 || s.Errors[waited] != 3 || s.Series[0].Errors != 4 {
			t.Errorf("%d done, errors %v, %+v", s.Done, s.Errors, s.Series)
		}
	})
}

func TestOpenNeverWaitsForATargetThatHangs(t *testing.T) {
	inBubble(t, slowly(Patience), Spec{Workload: gets, Connections: 2}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Open, Rate: 10_000, Seconds: 10, Even: true})
		if all := s.Done + s.Errored(); all != 99_999 || s.Late.Max() > 1 {
			t.Errorf("%d of 99,999 requests are counted, the latest %d µs late", all, s.Late.Max())
		}
	})
}

func TestClosedSendsOneAfterTheOther(t *testing.T) {
	inBubble(t, slowly(10*time.Millisecond), Spec{Workload: gets, Connections: 3}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1.005})
		if s.Done != 300 || s.Errored() != 0 || s.Rate != 0 || !within(s.Latency.At(1), 10*time.Millisecond) || s.Late.TotalCount() != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestClosedCountsWhatFailsAfterTheRound(t *testing.T) {
	store := slowly(0)
	for _, c := range []struct {
		outcome error
		errors  int64
	}{{nil, 0}, {context.DeadlineExceeded, 3}} {
		store.takes = func(n int, _ *Op) error {
			if n < 33 { // three of which make the connections

				time.Sleep(95 * time.Millisecond)
				return nil
			}
			time.Sleep(Patience)
			return c.outcome
		}
		store.asked = nil
		inBubble(t, store, Spec{Workload: gets, Connections: 3}, func(t *testing.T, g *Generator) {
			s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
			if s.Done != 30 || s.Errored() != c.errors || s.Errors[timeout] != c.errors {
				t.Errorf("%v at the end: %d done, errors %v", c.outcome, s.Done, s.Errors)
			}
			if len(s.Series) != 1 || s.Series[0].Errors != c.errors {
				t.Errorf("a round of one second has %+v", s.Series)
			}
		})
	}
}

func TestAValueOfAnotherLengthIsAnError(t *testing.T) {
	store := slowly(time.Millisecond)
	store.values[ten.Key(3)] = []byte("please log in")
	inBubble(t, store, Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
		if s.Errors["length"] == 0 || s.Errored() != s.Errors["length"] || s.Done < 5*s.Errored() {
			t.Errorf("%d done, errors %v; want one in ten", s.Done, s.Errors)
		}
	})
}

func TestConnectionsAreKeptFromRoundToRound(t *testing.T) {
	store := slowly(time.Millisecond)
	inBubble(t, store, Spec{Workload: gets, Connections: 3}, func(t *testing.T, g *Generator) {
		for _, mode := range []result.Mode{result.Open, result.Closed, result.Open} {
			round(t, g, Round{Mode: mode, Seconds: 0.1})
		}
		if store.made != 3 {
			t.Errorf("%d connections were made", store.made)
		}
	})
}

func TestErrorsAreCountedByReasonAndABrokenConnectionReplaced(t *testing.T) {
	store := slowly(time.Millisecond)
	store.takes = func(n int, _ *Op) error {
		switch n {
		case 10:
			return Failure("503")
		case 20:
			return errBroken
		case 30:
			return context.DeadlineExceeded
		}
		return nil
	}
	inBubble(t, store, Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		s := round(t, g, Round{Mode: result.Open, Seconds: 1.005, Even: true})
		if s.Done != 97 || s.Errors["503"] != 1 || s.Errors[connection] != 1 || s.Errors[timeout] != 1 || len(s.Errors) != 3 {
			t.Errorf("%d done, errors %v", s.Done, s.Errors)
		}
		if store.made != 3 {
			t.Errorf("%d connections, want one, and two in place of those that broke", store.made)
		}
	})
}

func TestWhatBrokeBetweenRoundsIsNoError(t *testing.T) {
	store := slowly(time.Millisecond)
	inBubble(t, store, Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		round(t, g, Round{Mode: result.Closed, Seconds: 0.1})
		before := len(store.asked)
		store.takes = func(n int, _ *Op) error {
			time.Sleep(time.Millisecond)
			if n == before || n == before+50 {
				return errBroken
			}
			return nil
		}
		s := round(t, g, Round{Mode: result.Closed, Seconds: 0.1})
		if s.Errored() != 1 || store.made != 3 {
			t.Errorf("errors %v, %d connections; want the one in the midst of the round", s.Errors, store.made)
		}
	})
}

func TestATargetThatIsGoneIsAllErrorsAndNoHurry(t *testing.T) {
	store := slowly(time.Millisecond)
	inBubble(t, store, Spec{Workload: gets, Connections: 1}, func(t *testing.T, g *Generator) {
		round(t, g, Round{Mode: result.Closed, Seconds: 0.1})
		store.takes = func(int, *Op) error { return errBroken }
		store.dials = func(int) error { return errBroken }
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
		if s.Done != 0 || s.Errors[connection] != int64(time.Second/breath) {
			t.Errorf("%d done, errors %v", s.Done, s.Errors)
		}
		store.made = store.closed // those that were not made are not closed
		if _, err := g.Round(t.Context(), Round{Mode: result.Open, Seconds: 1}); !errors.Is(err, errBroken) {
			t.Errorf("a round without connections: %v", err)
		}
		store.made = store.closed
	})
}

func TestNoWorkloadTakesAwayFromTheDataSet(t *testing.T) {
	for _, w := range Workloads() {
		store := slowly(time.Millisecond)
		d := Dataset{50, w.ValueBytes}
		store.fill(d)
		inBubble(t, store, Spec{Workload: w, Data: d, Connections: 8, TTL: 99}, func(t *testing.T, g *Generator) {
			s := round(t, g, Round{Mode: result.Open, Seconds: 3})
			if s.Errored() != 0 { // the store fails a get of nothing, and a set of what was deleted
				t.Errorf("%s: errors %v", w.Name, s.Errors)
			}
			for i := range d.Values {
				if len(store.values[d.Key(i)]) != w.ValueBytes {
					t.Fatalf("%s: value %d is gone", w.Name, i)
				}
			}
			for _, op := range store.asked {
				if (op.Method == Set || op.Method == Touch) && op.TTL != 99 {
					t.Fatalf("%s: a TTL of %d", w.Name, op.TTL)
				}
				if op.Method == Delete && w.Delete == 0 {
					t.Fatalf("%s deletes", w.Name)
				}
			}
			if w.Delete > 0 && len(store.deleted) == 0 {
				t.Errorf("%s deletes nothing", w.Name)
			}
		})
	}
}

func TestGeneratorsShareRateConnectionsAndNoKeysOfTheirOwn(t *testing.T) {
	store := slowly(time.Millisecond)
	var parts []*Part
	for share := range 3 {
		inBubble(t, store, Spec{Workload: named(t, "peak"), Connections: 8, Share: share, Shares: 3}, func(t *testing.T, g *Generator) {
			p, err := g.Round(t.Context(), Round{Mode: result.Open, Rate: 300, Seconds: 10, Even: true})
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, p)
		})
	}
	s := Merge(parts...)
	if s.Done != 3*999 || s.Errored() != 0 || s.Rate != 300 || s.Connections != 8 || s.Seconds != 10 {
		t.Errorf("%d done, errors %v, rate %v, %d connections, %v s", s.Done, s.Errors, s.Rate, s.Connections, s.Seconds)
	}
}

func TestARoundThatIsCutShortIsNoResult(t *testing.T) {
	for _, mode := range []result.Mode{result.Open, result.Closed} {
		inBubble(t, slowly(time.Millisecond), Spec{Workload: gets, Connections: 2}, func(t *testing.T, g *Generator) {
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			began := time.Now()
			if p, err := g.Round(ctx, Round{Mode: mode, Seconds: 3600}); p != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v", p, err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it went on for %v", took)
			}
		})
	}
}

func TestASpecOrRoundThatCannotBeIsRefused(t *testing.T) {
	good := Spec{Workload: gets, Data: ten, Connections: 2}
	for want, change := range map[string]func(*Spec){
		"cannot share": func(s *Spec) { s.Shares = 3 },
		"number 2":     func(s *Spec) { s.Share, s.Shares = 2, 2 },
		"TTL of -1":    func(s *Spec) { s.TTL = -1 },
		"data set":     func(s *Spec) { s.Data = Dataset{} },
	} {
		s := good
		change(&s)
		if _, err := NewGenerator(&fakeStore{}, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
	g, err := NewGenerator(&fakeStore{}, good)
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Round{
		"open or closed": {Mode: "half", Seconds: 1},
		"round of 0 s":   {Mode: result.Open},
		"-1 requests/s":  {Mode: result.Open, Seconds: 1, Rate: -1},
		"+Inf requests":  {Mode: result.Open, Seconds: 1, Rate: math.Inf(1)},
	} {
		if _, err := g.Round(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestTheAlarmIsNeverEarly(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for _, d := range []time.Duration{-time.Second, 0, 1, 10 * time.Microsecond, 300 * time.Microsecond, 2 * time.Millisecond} {
		began := time.Now()
		if err := a.sleep(d); err != nil {
			t.Fatal(err)
		}
		if slept := time.Since(began); slept < d {
			t.Errorf("slept %v of %v", slept, d)
		}
	}
}

func TestConnectionsThatAreKeptHaveAskedBeforeTheirRound(t *testing.T) {
	for fresh, want := range map[bool]int{false: 3, true: 0} {
		store, workload := &fakeStore{}, gets
		workload.Fresh = fresh
		g, err := NewGenerator(store, Spec{Workload: workload, Data: Dataset{10, 10}, Connections: 3})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second has nothing to do
			if err := g.Connect(t.Context()); err != nil || len(store.asked) != want {
				t.Errorf("fresh %t: asked %d times, want %d (%v)", fresh, len(store.asked), want, err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
