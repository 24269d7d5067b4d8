package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// clockLimit is how far apart clocks may be without a word. NTP keeps them within a few milliseconds.
const clockLimit = 100 * time.Millisecond

// Once a clockPause, up to half more or less, an instance puts up its notice and reads those of the others. The pauses
// must not be even: of two instances in step neither would ever read soon after the other wrote. Every clockRounds it
// asks the nodes, and says what it has found. What it heard is forgotten after one to two spells of clockSpell rounds, in
// which a clock without NTP drifts by some ten milliseconds.
const (
	clockPause    = time.Second
	clockRounds   = 10
	clockSpell    = 60
	clockPatience = 2 * time.Second // for one statement
	clockAsks     = 3               // of one node; the quickest answer counts
	noticeLife    = 30 * time.Second
)

// The log has a difference when it begins and, while it lasts, as often as clockReminder; never two within clockQuiet.
const (
	clockReminder = 10 * time.Minute
	clockQuiet    = time.Minute
)

// clockBoard is where clocks can be read: those of Cassandra's local nodes, and the notices of all instances in all
// datacentres.
type clockBoard interface {
	nodes() []string
	// clock asks one node, and no other, what time it is there.
	clock(ctx context.Context, node string) (time.Time, error)
	// post puts an instance's notice up in place of its last, for noticeLife. timestamp is the write's.
	post(ctx context.Context, n notice, timestamp int64) error
	// notices are those that are up; an old one may be among them, or one missing.
	notices(ctx context.Context) ([]notice, error)
}

// notice is what an instance tells the others. Times are µs.
type notice struct {
	instance   string
	datacentre string
	wrote      int64 // by its clock
	// heard is, of each other instance, the least difference lately between its own clock, when it had read a notice,
	// and the clock of the other, when that had written it.
	heard map[string]int64
}

// ClockTools are what a ClockWatch is given rather than reaching for.
type ClockTools struct {
	Now     func() time.Time
	Random  func(n int) int // evenly from 0 to n-1
	Log     *slog.Logger
	Metrics *Metrics
}

// ClockWatch compares this instance's clock with those of Cassandra's local nodes and of all other instances, in every
// datacentre, publishes the differences, and warns of those that surely are clockLimit or more. It corrects nothing:
// that is NTP's to do. Make it with Cassandra.ClockWatch.
//
// A node is asked for its time, which was so at some moment between question and answer: in the middle, give or take
// half of the round trip. Between instances there is no such thing as an answer, but a notice is never read before it is
// written. For instances A and B, by their own clocks,
//
//	heard of A by B  =  B at reading − A at writing  ≥  B − A
//	heard of B by A  =  A at reading − B at writing  ≥  A − B
//
// so that A − B lies between −(heard of A by B) and (heard of B by A): again in the middle, give or take half of what
// lies between (RFC 5905, section 8, has the same with four timestamps). The least heard of many counts, of the notice
// that was read soonest: that leaves some 50 ms, and what it takes between datacentres. A contradiction means that a clock
// has been set, and what was heard before is forgotten.
//
// A clock that is set by less than it was known to contradicts nothing: for up to two spells its skew may then be further
// from the truth than the error that is published, by as much again.
//
// It does not defend against whoever can write to Cassandra: he can put up notices of his own, and have the log accuse.
type ClockWatch struct {
	self   notice
	board  clockBoard
	tools  ClockTools
	stamps stamps
	ears   map[string]*ear // by instance
	skews  skewBook
	blind  bool // the last exchange of notices failed
}

// ear is what was heard of one instance: the least of this spell and of the one before, µs.
type ear struct{ now, before int64 }

const unheard = int64(1) << 62

func (e *ear) least() int64 { return min(e.now, e.before) }

func newClockWatch(instance, datacentre string, board clockBoard, tools ClockTools) *ClockWatch {
	return &ClockWatch{
		self: notice{instance: instance, datacentre: datacentre}, board: board, tools: tools,
		stamps: stamps{now: tools.Now}, ears: make(map[string]*ear), skews: newSkewBook(tools),
	}
}

// Run compares until ctx ends.
func (w *ClockWatch) Run(ctx context.Context) {
	for n := 1; ; n++ {
		peers := w.exchange(ctx)
		if n%clockRounds == 0 {
			all := append(w.askNodes(ctx), peers...)
			if ctx.Err() == nil {
				w.skews.report(ctx, all)
			}
		}
		if n%clockSpell == 0 {
			w.newSpell()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(clockPause/2 + time.Duration(w.tools.Random(int(clockPause)))):
		}
	}
}

// exchange puts this instance's notice up, reads the others' and says how their clocks differ.
func (w *ClockWatch) exchange(ctx context.Context) []skew {
	bounded, cancel := context.WithTimeout(ctx, clockPatience)
	defer cancel()
	w.self.heard = make(map[string]int64)
	for id, e := range w.ears {
		w.self.heard[id] = e.least()
	}
	w.self.wrote = w.tools.Now().UnixMicro()
	posted := w.board.post(bounded, w.self, w.stamps.next())
	all, err := w.board.notices(bounded)
	read := w.tools.Now().UnixMicro()
	if err = errors.Join(posted, err); err != nil && !w.blind && ctx.Err() == nil {
		w.tools.Log.WarnContext(ctx, "cannot compare clocks with the other instances'; trying again", "error", err.Error())
	}
	w.blind = err != nil
	return w.listen(all, read)
}

// listen takes in what was read at a time. An instance that has no notice up is forgotten.
func (w *ClockWatch) listen(all []notice, read int64) (peers []skew) {
	heard := make(map[string]*ear)
	for _, n := range all {
		if n.instance == w.self.instance {
			continue
		}
		e := w.ears[n.instance]
		if e == nil {
			e = &ear{unheard, unheard}
		}
		e.now = min(e.now, read-n.wrote)
		heard[n.instance] = e
		theirs, ok := n.heard[w.self.instance]
		if !ok {
			continue
		}
		if theirs+e.least() < 0 {
			*e = ear{read - n.wrote, unheard}
			continue
		}
		peers = append(peers, skew{
			kind: "instance", of: n.datacentre + "/" + n.instance,
			ahead: micros(theirs-e.least()) / 2, bound: micros(theirs+e.least()) / 2,
		})
	}
	w.ears = heard
	return peers
}

// newSpell forgets what was heard before the last spell.
func (w *ClockWatch) newSpell() {
	for _, e := range w.ears {
		e.before, e.now = e.now, unheard
	}
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// askNodes asks all nodes at once. One that does not answer has no skew.
func (w *ClockWatch) askNodes(ctx context.Context) (nodes []skew) {
	names := w.board.nodes()
	answers := make([]*skew, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { answers[i] = w.askNode(ctx, name) })
	}
	all.Wait()
	for _, a := range answers {
		if a != nil {
			nodes = append(nodes, *a)
		}
	}
	return nodes
}

func (w *ClockWatch) askNode(ctx context.Context, name string) (best *skew) {
	ctx, cancel := context.WithTimeout(ctx, clockPatience)
	defer cancel()
	for range clockAsks {
		asked := w.tools.Now()
		there, err := w.board.clock(ctx, name)
		if err != nil {
			return best
		}
		half := w.tools.Now().Sub(asked) / 2
		if s := (skew{kind: "cassandra", of: name, ahead: there.Sub(asked.Add(half)), bound: half}); best == nil || s.bound < best.bound {
			best = &s
		}
	}
	return best
}
