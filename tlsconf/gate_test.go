package tlsconf

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// waitFor waits until g has n waiters.
func waitFor(g *gate, n int) {
	for g.length() != n {
		runtime.Gosched()
	}
}

func TestGate_AddressesTakeTurns(t *testing.T) {
	g := newGate(1)
	crowd, single := prefix("192.0.2.1/32"), prefix("192.0.2.2/32")
	if err := g.enter(crowd, time.Time{}); err != nil {
		t.Fatal(err)
	}
	entered := make(chan string)
	enter := func(name string, address netip.Prefix) {
		waiting := g.length()
		go func() {
			if err := g.enter(address, time.Time{}); err != nil {
				t.Error(err)
			}
			entered <- name
		}()
		waitFor(g, waiting+1)
	}
	for i := range 4 {
		enter(fmt.Sprint("crowd ", i), crowd)
	}
	enter("single", single)
	var order []string
	for range 5 {
		g.leave()
		order = append(order, <-entered)
	}
	if want := []string{"crowd 0", "single", "crowd 1", "crowd 2", "crowd 3"}; !slices.Equal(order, want) {
		t.Errorf("order %q; want %q", order, want)
	}
	g.leave()
	if g.free != 1 || len(g.queues) != 0 || g.turns.Len() != 0 {
		t.Errorf("afterwards %d slots are free, and %d addresses wait; want 1 and 0", g.free, len(g.queues))
	}
}

func TestGate_DeadlineEndsWaiting(t *testing.T) {
	g := newGate(1)
	a := prefix("2001:db8::/64")
	if err := g.enter(a, time.Now().Add(-time.Hour)); err != nil {
		t.Errorf("a free slot after the deadline: %v", err)
	}
	if err := g.enter(a, time.Now().Add(-time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) || g.waiting != 0 || len(g.queues) != 0 {
		t.Errorf("error %v, %d wait; want os.ErrDeadlineExceeded and none", err, g.waiting)
	}
	g.leave()
	if err := g.enter(a, time.Time{}); err != nil || g.free != 0 {
		t.Errorf("the next one: %v; %d slots are free", err, g.free)
	}
}

func TestGate_NeverExceedsSlotsAndLosesNone(t *testing.T) {
	const slots = 3
	g := newGate(slots)
	var mu sync.Mutex
	var inside, most int
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inside += by
		most = max(most, inside)
	}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			address := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 4)}), 32)
			for n := range 200 {
				if g.enter(address, time.Now().Add(time.Duration(n%5)*10*time.Microsecond)) != nil {
					continue
				}
				count(1)
				runtime.Gosched()
				count(-1)
				g.leave()
			}
		})
	}
	all.Wait()
	if most > slots || g.free != slots || g.waiting != 0 || len(g.queues) != 0 {
		t.Errorf("%d of %d slots were used at once; afterwards %d are free and %d wait", most, slots, g.free, g.waiting)
	}
}
