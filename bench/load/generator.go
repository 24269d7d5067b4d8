package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"userinfo/bench/result"
	"userinfo/internal/openloop"
)

// Config is what a generator sends.
type Config struct {
	Mix         Mix
	Data        Dataset
	Connections int
	Fresh       bool   // the connections do not last longer than a request
	Seed        uint64 // of requests and their times
	TTL         int    // seconds, of sets and touches; 0: the store's default, or an hour for touches
}

// Round is one round of load.
type Round struct {
	Mode    result.Mode
	Rate    float64 // requests/s in an open loop
	Seconds float64
}

// Generator sends requests of one mix to one store, over connections that it keeps. Its methods must not be called
// concurrently.
type Generator struct {
	config      Config
	dialer      Dialer
	connections []*connection
	arrivals    *rand.Rand // of times in an open loop
	nonce       uint64     // makes the generator's own keys unique: a deleted key cannot be set for a while

	mu     sync.Mutex // guards the fields below
	choose *chooser
	logins []uint64 // keys that were set and not yet deleted, oldest first
}

// NewGenerator checks a configuration. It does not connect. The generator closes the dialer.
func NewGenerator(d Dialer, c Config) (*Generator, error) {
	if err := c.Mix.check(c.Data); err != nil {
		return nil, err
	}
	if c.Connections < 1 || c.TTL < 0 {
		return nil, fmt.Errorf("a generator needs at least one connection and a TTL of at least 0, not %d and %d", c.Connections, c.TTL)
	}
	g := &Generator{config: c, dialer: d, nonce: rand.Uint64(), arrivals: rand.New(rand.NewPCG(c.Seed, 1)), choose: newChooser(c.Mix, c.Data, c.Seed)}
	for range c.Connections {
		g.connections = append(g.connections, &connection{dialer: d})
	}
	return g, nil
}

// dialsAtOnce is how many connections are opened at the same time, so that a listener's queue has room for them.
const dialsAtOnce = 64

// connect opens the connections that are not open. Each of them sends a get, because servers close new connections that send
// nothing. The first round shows the errors of these gets.
func (g *Generator) connect(ctx context.Context) error {
	return parallel(ctx, len(g.connections), dialsAtOnce, func(ctx context.Context, i int) error {
		c := g.connections[i]
		if c.conn != nil {
			return nil
		}
		err := c.open(ctx)
		if err == nil && !g.config.Fresh {
			_ = c.send(ctx, &Request{Method: Get, Key: g.config.Data.Key(0)})
		}
		return err
	})
}

// Close closes all connections and the dialer.
func (g *Generator) Close() error {
	for _, c := range g.connections {
		c.drop()
	}
	return g.dialer.Close()
}

// Round sends load and returns what was measured: Mode, Rate, Connections, Data and ValueBytes of the condition, and
// everything from Began to Latency. It returns when all requests have ended, at most twice Patience after the last one was
// due. It returns an error if ctx ends.
func (g *Generator) Round(ctx context.Context, r Round) (result.Sample, error) {
	if !(r.Seconds > 0) || r.Mode == result.Open && !(r.Rate > 0) {
		return result.Sample{}, fmt.Errorf("a round needs a positive duration and rate, not %g s at %g/s", r.Seconds, r.Rate)
	}
	if err := g.connect(ctx); err != nil {
		return result.Sample{}, fmt.Errorf("connecting: %w", err)
	}
	t := &tally{sample: result.Sample{
		Condition: result.Condition{Mode: r.Mode, Connections: g.config.Connections, Data: g.config.Data.Bytes(), ValueBytes: g.config.Data.ValueBytes},
		Began:     time.Now().UTC(), Seconds: r.Seconds, Errors: map[string]int64{}, Late: result.NewHistogram(), Latency: result.NewHistogram(),
	}}
	if r.Mode == result.Open {
		t.sample.Rate = r.Rate
		g.open(ctx, r, t)
	} else {
		g.closed(ctx, r, t)
	}
	return t.sample, ctx.Err()
}

// open sends requests when they are due.
func (g *Generator) open(ctx context.Context, r Round, t *tally) {
	type planned struct {
		choice
		due time.Duration // since the start of the round
	}
	duration := seconds(r.Seconds)
	arrivals := openloop.Poisson(g.arrivals, r.Rate, duration, g.next)
	schedule := func() (planned, time.Duration, bool) {
		what, due, ok := arrivals()
		return planned{what, due}, due, ok
	}
	openloop.Run(ctx, len(g.connections), schedule, func(q openloop.Request[planned]) {
		if ctx.Err() != nil {
			return
		}
		if time.Since(q.Due) > Patience {
			t.add(q.Late, 0, false, reasonWaited)
			return
		}
		err := g.send(ctx, g.connections[q.Worker], q.Value.choice)
		latency, reason := time.Since(q.Due), ""
		if err != nil {
			reason = Reason(err)
		} else if latency > Patience {
			reason = reasonTimeout
		}
		t.add(q.Late, latency, q.Value.due+latency <= duration+result.Grace, reason)
	})
}

// pause follows a broken connection, which fails faster than any answer.
const pause = 20 * time.Millisecond

// closed sends one request after another on each connection. A request that is answered after the end of the round does
// not count, but one that fails then does: otherwise a store that hangs near the end would show no error.
func (g *Generator) closed(ctx context.Context, r Round, t *tally) {
	var workers sync.WaitGroup
	end := time.Now().Add(seconds(r.Seconds))
	for _, c := range g.connections {
		workers.Go(func() {
			for sent := time.Now(); sent.Before(end) && ctx.Err() == nil; sent = time.Now() {
				err := g.send(ctx, c, g.next())
				now := time.Now()
				switch {
				case err != nil:
					t.add(0, 0, false, Reason(err))
				case now.Before(end):
					t.add(0, now.Sub(sent), true, "")
				}
				if c.conn == nil {
					time.Sleep(pause)
				}
			}
		})
	}
	workers.Wait()
}

func (g *Generator) next() choice {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.choose.next()
}

// touchTTL is the TTL of touches if the configuration has none: a touch needs one.
const touchTTL = 3600

// send turns a choice into a request and sends it.
func (g *Generator) send(ctx context.Context, c *connection, what choice) error {
	r := Request{Method: what.method, TTL: g.config.TTL}
	switch what.from {
	case fromData:
		r.Key = g.config.Data.Key(int(what.index))
		if r.Method == Get {
			r.Length = g.config.Data.ValueBytes
		}
	case fromNobody:
		r.Key, r.Absent = sessionKey(mix64(g.nonce), what.index), true
	case fromLogin:
		r.Key = sessionKey(g.nonce, what.index)
	case fromLogout:
		r.Key = sessionKey(g.nonce, g.oldestLogin())
	}
	if r.Method == Touch && r.TTL == 0 {
		r.TTL = touchTTL
	}
	if r.Method == Set {
		r.Value = c.makeValue(g.config.Data, int(what.index))
	}
	err := c.send(ctx, &r)
	if err == nil && what.from == fromLogin {
		g.mu.Lock()
		g.logins = append(g.logins, what.index)
		g.mu.Unlock()
	}
	return err
}

// oldestLogin removes and returns the key that was set first. It returns 0, which no login has, if no key is left.
func (g *Generator) oldestLogin() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.logins) == 0 {
		return 0
	}
	oldest := g.logins[0]
	g.logins = g.logins[1:]
	return oldest
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// tally counts the requests of a round. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	sample result.Sample
}

func (t *tally) add(late, latency time.Duration, inTime bool, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.sample
	if s.Mode == result.Open {
		s.Late.Add(late)
	}
	if reason != "" {
		s.Errors[reason]++
		return
	}
	s.Done++
	if s.Mode == result.Open && inTime {
		s.InTime++
	}
	s.Latency.Add(latency)
}

// connection is a Conn that is replaced when it breaks. One goroutine uses it at a time.
type connection struct {
	dialer Dialer
	conn   Conn   // nil if it is broken or was never opened
	value  []byte // buffer of makeValue
}

func (c *connection) open(ctx context.Context) (err error) {
	if c.conn == nil {
		c.conn, err = c.dialer.Dial(ctx)
	}
	return err
}

func (c *connection) send(ctx context.Context, r *Request) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	err := c.conn.Do(ctx, r)
	var failure Failure
	if err != nil && !errors.As(err, &failure) {
		c.drop()
	}
	return err
}

func (c *connection) drop() {
	if c.conn != nil {
		_ = c.conn.Close() // it is not used any more
		c.conn = nil
	}
}

// makeValue returns a value of the data set, valid until the next call.
func (c *connection) makeValue(d Dataset, i int) []byte {
	c.value = d.Value(slices.Grow(c.value[:0], d.ValueBytes+8), i)
	return c.value
}

// parallel calls do for 0 to n-1, at most limit at a time, until one call fails. It returns the first error.
func parallel(ctx context.Context, n, limit int, do func(ctx context.Context, i int) error) error {
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for i := 0; i < n && all.Err() == nil; i++ {
		group.Go(func() error { return do(all, i) })
	}
	return cmp.Or(group.Wait(), context.Cause(ctx))
}
