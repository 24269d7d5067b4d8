package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errAway = errors.New("nobody answers")

// wall is Cassandra as clocks see it: a table, and nodes with clocks that differ from the true time.
type wall struct {
	mu      sync.Mutex
	clocks  map[string]time.Duration // of nodes
	latency time.Duration            // of each statement, half on the way there
	away    bool                     // nothing answers
	up      map[string]posted
}

type posted struct {
	notice
	timestamp int64
	until     time.Time
}

func newWall(nodes map[string]time.Duration) *wall {
	return &wall{clocks: nodes, latency: 2 * time.Millisecond, up: make(map[string]posted)}
}

func (w *wall) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// statement takes its time, and does what it does in the middle.
func (w *wall) statement(ctx context.Context, do func()) error {
	var half time.Duration
	away := false
	w.set(func() { half, away = w.latency/2, w.away })
	if away {
		<-ctx.Done()
		return errAway
	}
	time.Sleep(half)
	w.set(do)
	time.Sleep(half)
	return ctx.Err()
}

func (w *wall) nodes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.clocks))
}

func (w *wall) clock(ctx context.Context, node string) (there time.Time, err error) {
	err = w.statement(ctx, func() { there = time.Now().Add(w.clocks[node]) })
	return there, err
}

func (w *wall) post(ctx context.Context, n notice, timestamp int64) error {
	n.heard = maps.Clone(n.heard)
	return w.statement(ctx, func() {
		if timestamp > w.up[n.instance].timestamp {
			w.up[n.instance] = posted{n, timestamp, time.Now().Add(noticeLife)}
		}
	})
}

func (w *wall) notices(ctx context.Context) (all []notice, err error) {
	err = w.statement(ctx, func() {
		for _, p := range w.up {
			if time.Now().Before(p.until) {
				all = append(all, p.notice)
			}
		}
	})
	return all, err
}

// timekeeper is an instance whose clock can be set.
type timekeeper struct {
	*testing.T
	registry *prometheus.Registry
	log      *journal
	mu       sync.Mutex
	ahead    time.Duration
	stop     func()
}

func (k *timekeeper) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Add(k.ahead)
}

func (k *timekeeper) setClock(ahead time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ahead = ahead
}

// keep runs an instance's ClockWatch until the test ends, or stop is called.
func keep(t *testing.T, board clockBoard, datacentre, name string, ahead time.Duration) *timekeeper {
	k := &timekeeper{T: t, registry: prometheus.NewRegistry(), log: &journal{}, ahead: ahead}
	seed := rand.New(rand.NewPCG(7, uint64(len(name))+uint64(name[0]))) // the same in every run
	w := newClockWatch(name, datacentre, board, ClockTools{
		Now: k.now, Random: seed.IntN, Log: slog.New(slog.NewTextHandler(k.log, nil)), Metrics: NewMetrics(k.registry),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	k.stop = func() { cancel(); running.Wait() }
	t.Cleanup(k.stop)
	return k
}

// skews are the metrics of one kind.
func (k *timekeeper) skews(name string) map[string]time.Duration {
	k.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		k.Fatal(err)
	}
	found := make(map[string]time.Duration)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				found[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = time.Duration(m.GetGauge().GetValue() * float64(time.Second))
			}
		}
	}
	return found
}

// wantSkews wants these clocks, and none besides, each known well enough to tell 100 ms and rightly.
func (k *timekeeper) wantSkews(when string, want map[string]time.Duration) {
	k.Helper()
	got, bounds := k.skews("userinfo_clock_skew_seconds"), k.skews("userinfo_clock_skew_error_seconds")
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) || len(bounds) != len(got) {
		k.Errorf("%s: compared with %v (±%v), want %v", when, got, bounds, want)
		return
	}
	for of, ahead := range want {
		if bound := bounds[of]; (got[of]-ahead).Abs() > bound || bound > 150*time.Millisecond {
			k.Errorf("%s: %s is ahead by %v ± %v, want %v", when, of, got[of], bound, ahead)
		}
	}
}

func (k *timekeeper) wantLogged(when, message string, times int) {
	k.Helper()
	if got := strings.Count(k.log.String(), message); got != times {
		k.Errorf("%s: logged %q %d times, want %d:\n%s", when, message, got, times, k.log)
	}
}

const (
	wrong       = "clocks are wrong by 100 ms or more, by the majority"
	noMajority  = "no majority tells which is right"
	agreeAgain  = "clocks agree again"
	cannotKnow  = "cannot compare clocks"
	enoughTalks = time.Minute
)

func threeNodes() map[string]time.Duration {
	return map[string]time.Duration{"10.0.0.1": 0, "10.0.0.2": 0, "10.0.0.3": 0}
}

func TestAnInstanceKnowsHowItsClockDiffersFromThoseOfNodesAndInstances(t *testing.T) {
	for _, ahead := range []time.Duration{0, 150 * time.Millisecond, -500 * time.Millisecond, 10 * time.Second, -10 * time.Second} {
		for _, latency := range []time.Duration{2 * time.Millisecond, 100 * time.Millisecond} {
			t.Run(fmt.Sprintf("its clock ahead by %v, statements of %v", ahead, latency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := threeNodes()
					nodes["10.0.0.2"] = 3 * time.Second
					w := newWall(nodes)
					w.latency = latency
					a := keep(t, w, "dc1", "a", ahead)
					b := keep(t, w, "dc1", "bb", 0)
					c := keep(t, w, "dc2", "ccc", 200*time.Millisecond)
					time.Sleep(enoughTalks)
					a.wantSkews("a", map[string]time.Duration{
						"cassandra 10.0.0.1": -ahead, "cassandra 10.0.0.2": 3*time.Second - ahead, "cassandra 10.0.0.3": -ahead,
						"instance dc1/bb": -ahead, "instance dc2/ccc": 200*time.Millisecond - ahead,
					})
					b.wantSkews("b", map[string]time.Duration{
						"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 3 * time.Second, "cassandra 10.0.0.3": 0,
						"instance dc1/a": ahead, "instance dc2/ccc": 200 * time.Millisecond,
					})
					c.wantSkews("c", map[string]time.Duration{
						"cassandra 10.0.0.1": -200 * time.Millisecond, "cassandra 10.0.0.2": 2800 * time.Millisecond, "cassandra 10.0.0.3": -200 * time.Millisecond,
						"instance dc1/a": ahead - 200*time.Millisecond, "instance dc1/bb": -200 * time.Millisecond,
					})
				})
			})
		}
	}
}

func TestClocksThatAgreeAreNotSpokenOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(threeNodes())
		a, b := keep(t, w, "dc1", "a", 0), keep(t, w, "dc2", "bb", 20*time.Millisecond)
		time.Sleep(time.Hour)
		for _, k := range []*timekeeper{a, b} {
			k.wantLogged("in an hour", "clock", 0)
		}
	})
}

func TestTheClockThatIsWrongIsNamedWithWhatToDo(t *testing.T) {
	for _, c := range []struct {
		claim string
		ahead time.Duration // of the instance
		node  time.Duration // of one of three
		names string
	}{
		{"an instance's own, ahead", 10 * time.Second, 0, "this instance ahead by 10s"},
		{"an instance's own, behind by little", -120 * time.Millisecond, 0, "this instance behind by 120ms"},
		{"a node's", 0, -time.Second, "cassandra 10.0.0.1 behind by 1s ±1ms"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := threeNodes()
				nodes["10.0.0.1"] = c.node
				k := keep(t, newWall(nodes), "dc1", "a", c.ahead)
				time.Sleep(time.Minute)
				for _, words := range []string{wrong, c.names, "chronyc makestep"} {
					k.wantLogged("in a minute", words, 1)
				}
				time.Sleep(9 * time.Minute)
				k.wantLogged("in ten minutes", wrong, 1)
				time.Sleep(50 * time.Minute)
				if n := strings.Count(k.log.String(), wrong); n < 4 || n > 6 {
					t.Errorf("warned %d times in an hour", n)
				}
			})
		})
	}
}

func TestAnInstanceThatIsWrongIsNamedByTheOthersAndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(nil)
		a, b := keep(t, w, "dc1", "a", 0), keep(t, w, "dc2", "bb", 0)
		c := keep(t, w, "dc2", "ccc", 5*time.Second)
		time.Sleep(enoughTalks)
		a.wantLogged("a", "instance dc2/ccc ahead by 5", 1)
		b.wantLogged("b", "instance dc2/ccc ahead by 5", 1)
		c.wantLogged("c", "this instance ahead by 5", 1)
	})
}

func TestOfTwoClocksThatDifferNeitherIsCalledWrong(t *testing.T) {
	for says, ahead := range map[string]time.Duration{
		"cassandra 10.0.0.1 ahead by 10s": 10 * time.Second, "cassandra 10.0.0.1 behind by 10s": -10 * time.Second,
	} {
		t.Run(says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWall(map[string]time.Duration{"10.0.0.1": ahead})
				k := keep(t, w, "dc1", "a", 0)
				time.Sleep(time.Minute)
				k.wantLogged("in a minute", noMajority, 1)
				k.wantLogged("in a minute", says, 1)
				k.wantLogged("in a minute", wrong, 0)
				w.set(func() { w.clocks["10.0.0.1"] = 0 })
				time.Sleep(time.Minute)
				k.wantLogged("once they agree", agreeAgain, 1)
			})
		})
	}
}

func TestWhatWasHeardLongAgoSaysNothingOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(nil)
		a, _ := keep(t, w, "dc1", "a", 0), keep(t, w, "dc1", "bb", 0)
		time.Sleep(enoughTalks)
		w.set(func() { w.latency = 200 * time.Millisecond })
		time.Sleep(2*clockSpell*clockPause + enoughTalks)
		if bound := a.skews("userinfo_clock_skew_error_seconds")["instance dc1/bb"]; bound < 200*time.Millisecond {
			t.Errorf("the error is said to be %v at most, though no notice is read sooner than 200 ms after it was written", bound)
		}
	})
}

func TestAClockThatJumpsIsNoticedByItselfAndTheOthersWithinAMinute(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Second, -10 * time.Second, time.Hour, -time.Hour, 300 * time.Millisecond} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWall(nil)
				a, b := keep(t, w, "dc1", "a", 0), keep(t, w, "dc2", "bb", 0)
				time.Sleep(5 * time.Minute)
				a.setClock(jump)
				time.Sleep(time.Minute)
				a.wantSkews("a", map[string]time.Duration{"instance dc2/bb": -jump})
				b.wantSkews("b", map[string]time.Duration{"instance dc1/a": jump})
				a.setClock(0)
				time.Sleep(time.Minute)
				a.wantSkews("a, set back", map[string]time.Duration{"instance dc2/bb": 0})
				b.wantSkews("b, a set back", map[string]time.Duration{"instance dc1/a": 0})
			})
		})
	}
}

func TestWhatIsGoneIsNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(threeNodes())
		a, b := keep(t, w, "dc1", "a", 0), keep(t, w, "dc2", "bb", 0)
		time.Sleep(enoughTalks)
		b.stop()
		w.set(func() { delete(w.clocks, "10.0.0.3") })
		time.Sleep(noticeLife + 2*clockRounds*clockPause)
		a.wantSkews("once they are gone", map[string]time.Duration{"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 0})
		a.wantLogged("once they are gone", "clock", 0)
		w.set(func() {
			if heard := w.up["a"].heard; len(heard) > 0 {
				t.Errorf("it still tells what it heard of %v", heard)
			}
		})
	})
}

func TestWhereNobodyAnswersNothingIsKnownAndThatIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(threeNodes())
		a, _ := keep(t, w, "dc1", "a", 0), keep(t, w, "dc1", "bb", 0)
		time.Sleep(enoughTalks)
		w.set(func() { w.away = true })
		time.Sleep(10 * time.Minute)
		a.wantSkews("while nobody answers", nil)
		a.wantLogged("while nobody answers", cannotKnow, 1)
		w.set(func() { w.away = false })
		time.Sleep(2 * enoughTalks)
		a.wantSkews("later", map[string]time.Duration{
			"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 0, "cassandra 10.0.0.3": 0, "instance dc1/bb": 0})
		begun := time.Now()
		if a.stop(); time.Since(begun) > 0 {
			t.Errorf("it took %v to stop", time.Since(begun))
		}
	})
}

func TestAClockWatchThatEndsInTheMiddleOfItsWorkSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(threeNodes())
		w.latency = time.Second
		k := keep(t, w, "dc1", "a", 0)
		time.Sleep(w.latency / 4)
		k.stop()
		k.wantLogged("after it was stopped", "level=", 0)
	})
}

// A round trip of which nothing is known but its length cannot tell whether a clock is off by less than half of it.
func TestASkewWithinItsErrorIsNotWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(map[string]time.Duration{"10.0.0.1": 300 * time.Millisecond, "10.0.0.2": 0, "10.0.0.3": 0})
		w.latency = 500 * time.Millisecond
		k := keep(t, w, "dc1", "a", 0)
		time.Sleep(time.Minute)
		k.wantLogged("with slow statements", "clock", 0)
		w.set(func() { w.latency = 2 * time.Millisecond })
		time.Sleep(time.Minute)
		k.wantLogged("with quick ones", wrong, 1)
	})
}

func TestAClockThatComesAndGoesFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWall(threeNodes())
		k := keep(t, w, "dc1", "a", 0)
		for n := range 180 {
			w.set(func() { w.clocks["10.0.0.1"] = time.Duration(n%2) * time.Second })
			time.Sleep(20 * time.Second)
		}
		if lines := bytes.Count([]byte(k.log.String()), []byte("\n")); lines > 120 || lines < 2 {
			t.Errorf("%d records in an hour", lines)
		}
	})
}
