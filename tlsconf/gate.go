package tlsconf

import (
	"container/list"
	"net/netip"
	"os"
	"sync"
	"time"
)

// gate bounds how many handshakes use the CPU at once. The others wait. Each address has a queue of its own, and the
// addresses take turns, so that an address with many connections delays only itself.
type gate struct {
	mu      sync.Mutex
	free    int        // slots
	turns   *list.List // of *addressQueue; none is empty
	queues  map[netip.Prefix]*list.Element
	waiting int
}

// addressQueue holds the waiting connections of one address, the longest waiting first.
type addressQueue struct {
	address netip.Prefix
	waiters list.List // of chan struct{}, which is closed when the waiter has a slot
}

func newGate(slots int) *gate {
	return &gate{free: slots, turns: list.New(), queues: make(map[netip.Prefix]*list.Element)}
}

// enter waits for a slot, but at most until deadline. A zero deadline never expires. The error is os.ErrDeadlineExceeded.
func (g *gate) enter(address netip.Prefix, deadline time.Time) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	granted, leave := g.enqueue(address)
	g.mu.Unlock()
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-granted:
		return nil
	case <-expired:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-granted: // at the same moment
		g.pass()
	default:
		leave()
	}
	return os.ErrDeadlineExceeded
}

// enqueue adds a waiter. The caller holds g.mu, also when it calls leave.
func (g *gate) enqueue(address netip.Prefix) (granted chan struct{}, leave func()) {
	turn, ok := g.queues[address]
	if !ok {
		turn = g.turns.PushBack(&addressQueue{address: address})
		g.queues[address] = turn
	}
	granted = make(chan struct{})
	q := turn.Value.(*addressQueue)
	place := q.waiters.PushBack(granted)
	g.waiting++
	return granted, func() { g.remove(turn, place) }
}

// remove removes a waiter, and its queue if it is empty then. The caller holds g.mu.
func (g *gate) remove(turn, place *list.Element) {
	q := turn.Value.(*addressQueue)
	q.waiters.Remove(place)
	g.waiting--
	if q.waiters.Len() == 0 {
		g.turns.Remove(turn)
		delete(g.queues, q.address)
	}
}

// leave gives a slot back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass()
}

// pass gives a slot to the address whose turn it is, or makes it free. The caller holds g.mu.
func (g *gate) pass() {
	turn := g.turns.Front()
	if turn == nil {
		g.free++
		return
	}
	g.turns.MoveToBack(turn)
	place := turn.Value.(*addressQueue).waiters.Front()
	g.remove(turn, place)
	close(place.Value.(chan struct{}))
}

// length returns the number of waiting handshakes.
func (g *gate) length() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}
