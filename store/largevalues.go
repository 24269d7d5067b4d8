package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// LargeValue is the size from which a value is large, in bytes. It is eight times a usual session. Values just below it
	// cannot delay others for long: 512 of them are 8 MiB.
	LargeValue = 16 << 10
	// LargeBytes is how many bytes of large values may be read and written at once. A node that writes several MB at once is
	// slow for everybody: with 4 MiB, the p99 of small gets beside a client at its limit of bytes per second was 66 instead of
	// 29 ms (docs/performance.md).
	LargeBytes = 1 << 20
	// largePatience is how long an operation waits for its turn. It leaves the operation some of a request's 2.8 s.
	largePatience = 2 * time.Second
	// recentReads is about how many reads of a client the average of their sizes remembers.
	recentReads = 64
	// smallestTurn is how many bytes a read counts at least, if it waits for its turn.
	smallestTurn = 4 << 10
)

// LargeValues limits how many bytes of large values are read and written at once, so that they do not delay small values.
// All collections of a cluster share one. Operations on small values never wait. An operation on a large value first waits
// for its turn. Clients take turns: the next turn goes to the client that has had the fewest bytes since it began to wait, so
// a client with one large value does not wait for the hundreds of another client.
//
// The size of a value that is read is not known before it is read. LargeValues therefore remembers for 10 to 20 minutes how
// large the largest value was that a client has read or set. While that is large, any read of the client may be: each waits for
// its turn, and counts as the average size of the client's recent reads. So a few large values among many small ones do not
// slow the client down. Reads of a client whose values were small until now do not wait.
//
// A context of an operation whose value is large, or is expected to be, makes IsLarge true. A table then uses connections on
// which small values do not wait.
//
// All methods are safe for concurrent use.
type LargeValues struct {
	limit    int
	inFlight prometheus.Gauge
	waiting  prometheus.Gauge

	mu      sync.Mutex              // guards the fields below
	bytes   int                     // let in and not finished
	turn    int64                   // largeClient.bytes of the client that was let in last, before it was let in
	clients map[string]*largeClient // by name
	queue   []*largeClient          // the clients that wait
}

// largeClient is one client. LargeValues.mu guards it.
type largeClient struct {
	largest recentMax // size of the values that it has read or set
	hasRead bool
	average float64      // size of its recent reads, in bytes
	bytes   int64        // that were let in, and what the client missed while it did not wait
	waiting []*largeTurn // in the order in which they came
}

// largeTurn is one operation that waits.
type largeTurn struct {
	bytes int
	let   chan struct{} // closed when the operation may go on
}

// NewLargeValues returns LargeValues for the collections of one cluster. limit is usually LargeBytes.
func NewLargeValues(limit int, m *Metrics) *LargeValues {
	return &LargeValues{limit: limit, inFlight: m.largeInFlight, waiting: m.largeWaiting, clients: make(map[string]*largeClient)}
}

// largeKey is the context key of operations whose value is large, or expected to be.
type largeKey struct{}

// IsLarge reports whether ctx belongs to an operation whose value is large, or expected to be.
func IsLarge(ctx context.Context) bool { return ctx.Value(largeKey{}) != nil }

// beginWrite waits until a client may write a value of a size. The write must use the context that it returns, and then call
// done. The error is ErrOverloaded.
func (l *LargeValues) beginWrite(ctx context.Context, client string, size int) (_ context.Context, done func(), err error) {
	if size < LargeValue {
		return ctx, func() {}, nil
	}
	l.observeWrite(client, size)
	return l.begin(ctx, client, size)
}

// beginRead waits until a client may read a value. The read must use the context that it returns, and then call done with the
// size of the value, or with unknownSize if the read failed. The error is ErrOverloaded.
func (l *LargeValues) beginRead(ctx context.Context, client string) (_ context.Context, done func(size int), err error) {
	expected, large := l.expected(client)
	if !large {
		return ctx, func(size int) { l.observeRead(client, size) }, nil
	}
	ctx, leave, err := l.begin(ctx, client, max(expected, smallestTurn))
	return ctx, func(size int) { l.observeRead(client, size); leave() }, err
}

func (l *LargeValues) begin(ctx context.Context, client string, size int) (_ context.Context, done func(), err error) {
	turn := &largeTurn{bytes: min(size, l.limit), let: make(chan struct{})}
	if err := l.wait(ctx, client, turn); err != nil {
		return ctx, nil, err
	}
	return context.WithValue(ctx, largeKey{}, true), func() { l.leave(turn) }, nil
}

// wait waits until turn is let in.
func (l *LargeValues) wait(ctx context.Context, client string, turn *largeTurn) error {
	ctx, cancel := context.WithTimeout(ctx, largePatience)
	defer cancel()
	l.join(client, turn)
	select {
	case <-turn.let:
		return nil
	case <-ctx.Done():
	}
	if !l.giveUp(client, turn) {
		l.leave(turn) // it was let in at the same moment
	}
	return fmt.Errorf("%w: too many large values are being read or written: %w", ErrOverloaded, ctx.Err())
}

// join adds turn to the queue.
func (l *LargeValues) join(client string, turn *largeTurn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(client)
	if len(c.waiting) == 0 {
		c.bytes = max(c.bytes, l.turn)
		l.queue = append(l.queue, c)
	}
	c.waiting = append(c.waiting, turn)
	l.waiting.Inc()
	l.letIn()
}

// giveUp removes turn from the queue. It returns false if turn is not in the queue any more.
func (l *LargeValues) giveUp(client string, turn *largeTurn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(client)
	i := slices.Index(c.waiting, turn)
	if i < 0 {
		return false
	}
	l.remove(c, i)
	l.letIn() // turn may have been the next one, and others smaller
	return true
}

// leave ends an operation that was let in.
func (l *LargeValues) leave(turn *largeTurn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= turn.bytes
	l.inFlight.Sub(float64(turn.bytes))
	l.letIn()
}

// letIn lets operations in while there is room. The operation whose turn it is waits until there is room for it, and all
// others wait with it: otherwise smaller ones could hold it up for ever. The caller holds mu.
func (l *LargeValues) letIn() {
	for len(l.queue) > 0 {
		c := slices.MinFunc(l.queue, func(a, b *largeClient) int { return cmp.Compare(a.bytes, b.bytes) })
		next := c.waiting[0]
		if l.bytes+next.bytes > l.limit {
			return
		}
		l.remove(c, 0)
		l.bytes += next.bytes
		l.inFlight.Add(float64(next.bytes))
		l.turn = c.bytes
		c.bytes += int64(next.bytes)
		close(next.let)
	}
}

// remove removes a client's operation i from the queue. The caller holds mu.
func (l *LargeValues) remove(c *largeClient, i int) {
	c.waiting = slices.Delete(c.waiting, i, i+1)
	l.waiting.Dec()
	if len(c.waiting) == 0 {
		l.queue = slices.DeleteFunc(l.queue, func(other *largeClient) bool { return other == c })
	}
}

// expected returns the size of the value that a client is expected to read, and whether the value may be large. Before the
// client's first read, it expects the largest value that the client has set.
func (l *LargeValues) expected(client string) (size int, large bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(client)
	size = c.largest.get(time.Now())
	large = size >= LargeValue
	if c.hasRead {
		size = int(c.average)
	}
	return size, large
}

// observeWrite records the size of a value that a client is going to write. The client may read it soon.
func (l *LargeValues) observeWrite(client string, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client(client).largest.add(size, time.Now())
}

// unknownSize is the size of a value that could not be read. It does not count: when large reads fail because there are too
// many, the client would be expected to read small values, and could begin more.
const unknownSize = -1

// observeRead records the size of a value that a client has read.
func (l *LargeValues) observeRead(client string, size int) {
	if size == unknownSize {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(client)
	if c.hasRead {
		c.average += (float64(size) - c.average) / recentReads
	} else {
		c.hasRead, c.average = true, float64(size)
	}
	c.largest.add(size, time.Now())
}

// client returns a client, and creates it on first use. The caller holds mu.
func (l *LargeValues) client(name string) *largeClient {
	c := l.clients[name]
	if c == nil {
		c = &largeClient{}
		l.clients[name] = c
	}
	return c
}

// recentPeriod is the shortest time for which recentMax remembers a number. The longest is twice as long.
const recentPeriod = 10 * time.Minute

// recentMax is the largest of some recent numbers. The zero recentMax has seen none.
type recentMax struct {
	began          time.Time // of the current period
	current, older int       // the largest in the current period, and in the one before
}

// get returns the largest number of the current period and the one before, or 0.
func (m *recentMax) get(now time.Time) int {
	switch age := now.Sub(m.began); {
	case age >= 2*recentPeriod:
		*m = recentMax{began: now}
	case age >= recentPeriod:
		*m = recentMax{began: now, older: m.current}
	}
	return max(m.current, m.older)
}

// add adds a number.
func (m *recentMax) add(n int, now time.Time) {
	m.get(now)
	m.current = max(m.current, n)
}
