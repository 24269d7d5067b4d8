package store

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// race is one operation's attempts, in which the coordinators it has asked so far are known.
type race struct {
	key  []byte          // the partition key, so that the driver need not ask a node which of the values it is
	ctx  context.Context // the operation's, whose values the attempts' contexts have
	done chan struct{}   // is closed when what goes on is of no use any more: that of the attempts' contexts

	mu      sync.Mutex // guards what follows
	hosts   []*health  // asked, in order
	over    bool       // all is decided
	storage [2]*health // of hosts, as there are seldom more
}

// kit is what an operation needs and the next can have again: each is as if new. An operation that closes done leaves
// none for the next.
type kit struct {
	timer   *time.Timer // has watcher watch
	watcher interface{ watch() }
	decided chan struct{} // holds one once that is through
	done    chan struct{}
}

func (r *runner) takeKit() *kit {
	k, _ := r.kits.Get().(*kit)
	if k == nil {
		k = &kit{decided: make(chan struct{}, 1)}
		k.timer = time.AfterFunc(time.Hour, func() { k.watcher.watch() })
	}
	if k.done == nil {
		k.done = make(chan struct{})
	}
	return k
}

// putKit takes back a kit whose timer is stopped or through, and that no attempt can reach any more, but for a done that
// is nil then.
func (r *runner) putKit(k *kit) {
	k.watcher = nil
	r.kits.Put(k)
}

func (r *race) asked(h *health) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.hosts, h)
}

// lastAsked is the turn in which a coordinator was asked last; -1 where it was not.
func (r *race) lastAsked(h *health) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.hosts) - 1; i >= 0; i-- {
		if r.hosts[i] == h {
			return i
		}
	}
	return -1
}

// attempt is one statement at one coordinator, and the context that it is made in: it ends when its race says so, not
// when the operation's does. Its last fields are those of the goroutine that decides.
type attempt struct {
	race  *race
	host  atomic.Pointer[health] // the node asked, once the driver has picked it
	began time.Time
	hedge bool // it was asked beside another that was slow

	choice choice  // the driver's
	stream *stream // the last that the driver has made for it, in the attempt's goroutine; nil where there was none

	answered bool
	late     bool // the breaker knows
}

var _ context.Context = (*attempt)(nil)

// Deadline implements context.Context: there is none.
func (*attempt) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (a *attempt) Done() <-chan struct{} { return a.race.done }

// Err implements context.Context.
func (a *attempt) Err() error {
	select {
	case <-a.race.done:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context.
func (a *attempt) Value(key any) any { return a.race.ctx.Value(key) }

// take notes that h is asked.
func (a *attempt) take(h *health) {
	a.race.mu.Lock()
	a.race.hosts = append(a.race.hosts, h)
	a.race.mu.Unlock()
	a.host.Store(h)
}

// choice is of the coordinators that an attempt may ask, in the driver's order but for those that are put last.
type choice struct {
	of    *coordinators
	query routed
	next  gocql.NextHost
	later []gocql.SelectedHost
}

// nextHost is a gocql.NextHost. The driver goes on to the next where it has no connection.
func (a *attempt) nextHost() gocql.SelectedHost {
	c := &a.choice
	for host := c.next(); host != nil; host = c.next() {
		h := c.of.of(host.Info().HostID())
		if !a.race.asked(h) && h.allow(c.of.now()) {
			a.take(h)
			return host
		}
		c.later = append(c.later, host)
	}
	if len(c.later) == 0 {
		return nil
	}
	last := func(host gocql.SelectedHost) int { return a.race.lastAsked(c.of.of(host.Info().HostID())) }
	host := slices.MinFunc(c.later, func(x, y gocql.SelectedHost) int { return last(x) - last(y) })
	c.later = slices.DeleteFunc(c.later, func(h gocql.SelectedHost) bool { return h == host })
	a.take(c.of.of(host.Info().HostID()))
	return host
}

// routed is a query whose partition key is known. The driver would learn it by preparing the statement on any
// node, a frozen one included.
type routed struct {
	gocql.ExecutableQuery
	key []byte
}

// GetRoutingKey implements gocql.ExecutableQuery.
func (r *routed) GetRoutingKey() ([]byte, error) { return r.key, nil }
