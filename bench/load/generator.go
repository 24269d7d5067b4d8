package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"userinfo/bench/result"
)

// Spec is what a generator does in all of its rounds.
type Spec struct {
	Kind          string          // of target: KindHTTPS, or what a DialFunc knows
	Settings      json.RawMessage // HTTPSFiles, or that kind's own. No secrets, but paths of files that hold them
	Workload      Workload
	Data          Dataset
	Connections   int // of all generators together
	Seed          uint64
	TTL           int // seconds, of sets and touches: the loader's, or the data set wears away. 0: the target's default; a touch's is an hour
	Share, Shares int // this generator is the Share-th of Shares, from 0; 0 of 0 is the only one
}

// Round is one round, of all generators together.
type Round struct {
	Number  int
	Mode    result.Mode
	Rate    float64 // requests/s, in Open; 0 is the workload's
	Seconds float64
	Even    bool // requests are evenly spaced and not Poisson arrivals
}

// Generator puts the load of one Spec on one target, round after round, over connections that it keeps. Its methods are
// called one at a time.
type Generator struct {
	spec   Spec
	dialer Dialer
	slots  []*slot
	clock  func() (sleeper, error)
	nonce  uint64 // of this generator's own keys, so that no two runs have the same: a deleted key cannot be set for a while

	mu       sync.Mutex // guards what follows, in rounds
	schedule *schedule
	logins   []uint64 // keys that were set and not yet deleted, oldest first
}

// NewGenerator owns d from then on.
func NewGenerator(d Dialer, s Spec) (*Generator, error) {
	if s.Shares == 0 {
		s.Shares = 1
	}
	switch err := s.Workload.check(s.Data); {
	case err != nil:
		return nil, err
	case s.Share < 0 || s.Share >= s.Shares:
		return nil, fmt.Errorf("a generator cannot be number %d, counted from 0, of %d", s.Share, s.Shares)
	case s.Connections < s.Shares:
		return nil, fmt.Errorf("%d generators cannot share %d connections: each needs one", s.Shares, s.Connections)
	case s.TTL < 0:
		return nil, fmt.Errorf("a TTL of %d s: say 0 for the target's default, or more", s.TTL)
	}
	g := &Generator{spec: s, dialer: d, clock: newAlarm, nonce: rand.Uint64(),
		schedule: newSchedule(s.Workload, s.Data, s.Seed, uint64(s.Share))}
	n := s.Connections / s.Shares
	if s.Share < s.Connections%s.Shares {
		n++
	}
	for range n {
		g.slots = append(g.slots, &slot{dialer: d})
	}
	return g, nil
}

// dialsAtOnce bounds how many connections are being made: a listener's queue has room for so many.
const dialsAtOnce = 64

// Connect makes the connections that there are not yet. Each that is kept asks something, whatever comes of it: a server
// closes within seconds what has never asked.
func (g *Generator) Connect(ctx context.Context) error {
	return each(ctx, len(g.slots), dialsAtOnce, func(ctx context.Context, i int) error {
		s := g.slots[i]
		asked := s.conn != nil || g.spec.Workload.Fresh
		if err := s.connect(ctx); err != nil || asked {
			return err
		}
		s.op = Op{Method: Get, Key: g.spec.Data.Key(0)}
		_ = s.try(ctx)
		return nil
	})
}

// each calls do for 0 to n-1, some at once, until one fails.
func each(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var workers sync.WaitGroup
	next := make(chan int)
	for range min(atOnce, n) {
		workers.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// Close ends all connections and the Dialer.
func (g *Generator) Close() error {
	for _, s := range g.slots {
		s.drop()
	}
	return g.dialer.Close()
}

// Round puts load on the target and returns what became of it once all of it is settled, which in Open is up to twice
// Patience after the last request was due. A round that ctx ends is no result.
func (g *Generator) Round(ctx context.Context, r Round) (*Part, error) {
	if r.Rate == 0 {
		r.Rate = g.spec.Workload.Rate()
	}
	switch {
	case r.Mode != result.Open && r.Mode != result.Closed:
		return nil, fmt.Errorf("a round is open or closed, not %q", r.Mode)
	case !(r.Seconds > 0) || r.Seconds > 24*60*60:
		return nil, fmt.Errorf("a round of %g s: say more than nothing, and a day at most", r.Seconds)
	case !(r.Rate > 0) || r.Rate > 1e6:
		return nil, fmt.Errorf("%g requests/s: say more than nothing, and a million at most", r.Rate)
	}
	r.Rate /= float64(g.spec.Shares)
	if err := g.Connect(ctx); err != nil {
		return nil, fmt.Errorf("connecting to the target: %w", err)
	}
	for _, s := range g.slots {
		s.kept = !g.spec.Workload.Fresh
	}
	sent, received := g.wire()
	t := newTally(r.Mode, r.Seconds)
	s := &t.part.Sample
	s.Began, s.Round, s.Connections = time.Now(), r.Number, len(g.slots)
	var err error
	if r.Mode == result.Open {
		s.Rate = r.Rate
		err = g.open(ctx, r, t)
	} else {
		g.closed(ctx, r, t)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	s.Sent, s.Received = g.wire()
	s.Sent, s.Received = since(s.Sent, sent), since(s.Received, received)
	return t.part, nil
}

func since(now, before int64) int64 {
	if now < 0 || before < 0 {
		return -1
	}
	return now - before
}

func (g *Generator) wire() (sent, received int64) {
	for _, s := range g.slots {
		a, b := s.wire()
		sent, received = known(sent, a), known(received, b)
	}
	return sent, received
}

// touchTTL is a touch's where nothing else is said: a touch cannot be without.
const touchTTL = 3600

// carryOut puts r into words, and asks.
func (g *Generator) carryOut(ctx context.Context, s *slot, r request) error {
	s.op = Op{Method: r.method, TTL: g.spec.TTL}
	login := mix(g.nonce) ^ uint64(g.spec.Share)
	switch r.kind {
	case ofData:
		s.op.Key = g.spec.Data.Key(int(r.index))
		if r.method == Get {
			s.op.Length = g.spec.Data.ValueBytes
		}
	case ofNobody:
		s.op.Key, s.op.Absent = sessionKey(mix(login), r.index), true
	case ofLogin:
		s.op.Key = sessionKey(login, r.index)
	case ofLogout:
		s.op.Key = sessionKey(login, g.logout())
	}
	if r.method == Touch && s.op.TTL == 0 {
		s.op.TTL = touchTTL
	}
	if r.method == Set {
		s.setValue(g.spec.Data, int(r.index))
	}
	err := s.ask(ctx)
	if err == nil && r.kind == ofLogin {
		g.mu.Lock()
		g.logins = append(g.logins, r.index)
		g.mu.Unlock()
	}
	return err
}

// logout is the key to delete: the one that was set longest ago, or, where none is left, one that never was.
func (g *Generator) logout() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.logins) == 0 {
		return 0 // a schedule's keys begin at 1
	}
	i := g.logins[0]
	g.logins = g.logins[1:]
	return i
}
