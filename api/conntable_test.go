package api

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// Bounds of the tables in these tests.
const (
	testTotal           = 40
	testUnauthenticated = 20
	testPerAddress      = 12
	testPerClient       = 10
)

func newTestTable() *connTable {
	return newConnTable(ServerConfig{MaxConnections: testTotal, MaxUnauthenticatedConnections: testUnauthenticated, MaxConnectionsPerAddress: testPerAddress})
}

func testAddress(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 32)
}

// check returns an error if the table breaks an invariant. all are the connections that were ever added.
func (t *connTable) check(all []*conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := make(map[*connShare]int)
	idle := make(map[*connShare]map[*conn]bool)
	unauthenticated := 0
	for _, c := range all {
		if !c.entry.open {
			continue
		}
		if !c.entry.authenticated {
			unauthenticated++
		}
		for _, m := range c.entry.memberships {
			if m.share == nil {
				continue
			}
			open[m.share]++
			if c.entry.idle {
				if idle[m.share] == nil {
					idle[m.share] = make(map[*conn]bool)
				}
				idle[m.share][c] = true
			}
		}
	}
	if unauthenticated != t.unauthenticated || unauthenticated > testUnauthenticated {
		return fmt.Errorf("%d unauthenticated connections are open, and %d are counted; the bound is %d", unauthenticated, t.unauthenticated, testUnauthenticated)
	}
	checkShare := func(name string, kind shareKind, s *connShare, limit int) error {
		if s.open != open[s] || s.open > limit {
			return fmt.Errorf("%s: %d connections are open, and %d are counted; the bound is %d", name, open[s], s.open, limit)
		}
		listed := 0
		for _, l := range []*idleList{&s.unauthenticated, &s.authenticated} {
			for c := l.first; c != nil; c = c.entry.memberships[kind].next {
				if listed++; !idle[s][c] || s.list(c) != l {
					return fmt.Errorf("%s: a connection that is not idle is listed, or one is in the wrong list", name)
				}
			}
		}
		if listed != len(idle[s]) {
			return fmt.Errorf("%s: %d idle connections are listed; want %d", name, listed, len(idle[s]))
		}
		return nil
	}
	errs := []error{checkShare("all", inTotal, &t.all, testTotal)}
	for a, s := range t.addresses {
		errs = append(errs, checkShare(a.String(), byAddress, s, testPerAddress))
	}
	for name, s := range t.clients {
		errs = append(errs, checkShare(name, byClient, s, testPerClient))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestConnTable_BoundsHoldInRaces lets many goroutines open, use and close connections at the same time.
func TestConnTable_BoundsHoldInRaces(t *testing.T) {
	table := newTestTable()
	var mu sync.Mutex
	var all []*conn
	newConn := func() *conn {
		c := new(conn)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, c)
		return c
	}
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		if err := table.check(all); err != nil {
			t.Error(err)
		}
	}
	var running sync.WaitGroup
	for g := range 16 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			for range 200 {
				c := newConn()
				address := testAddress(random.IntN(8))
				if random.IntN(4) == 0 {
					address = netip.Prefix{}
				}
				if _, refused := table.add(c, address); refused != "" {
					continue
				}
				if !address.IsValid() {
					table.setAddress(c, testAddress(random.IntN(8)))
				}
				for range random.IntN(4) {
					table.setActive(c, true)
					table.beginRequest(c)
					switch random.IntN(4) {
					case 0:
						table.setTrustedProxy(c)
					case 1, 2:
						table.setClient(c, fmt.Sprint("client", random.IntN(6)), testPerClient)
					}
					if random.IntN(2) == 0 { // over HTTP/2, the stream may be closed before the handler returns
						table.setActive(c, false)
						table.endRequest(c)
					} else {
						table.endRequest(c)
						table.setActive(c, false)
					}
				}
				if random.IntN(2) == 0 {
					table.remove(c)
				}
				if random.IntN(8) == 0 {
					check()
				}
			}
		})
	}
	running.Wait()
	check()
	for _, c := range all {
		table.remove(c)
		table.remove(c) // again
	}
	if table.all != (connShare{}) || table.unauthenticated != 0 || len(table.addresses) != 0 || len(table.clients) != 0 {
		t.Errorf("something is left: %+v", table)
	}
}

// mustAdd adds an idle connection and returns which connections were evicted.
func mustAdd(t *testing.T, table *connTable, address netip.Prefix) (c *conn, evicted []*conn) {
	t.Helper()
	c = new(conn)
	all, refused := table.add(c, address)
	if refused != "" {
		t.Fatalf("refused: %s", refused)
	}
	for _, e := range all {
		evicted = append(evicted, e.conn)
	}
	return c, evicted
}

// mustAuthenticate lets a connection send a request of a client.
func mustAuthenticate(t *testing.T, table *connTable, c *conn, client string) (evicted []*conn) {
	t.Helper()
	table.beginRequest(c)
	all, refused := table.setClient(c, client, testPerClient)
	if refused != "" {
		t.Fatalf("refused: %s", refused)
	}
	table.endRequest(c)
	for _, e := range all {
		evicted = append(evicted, e.conn)
	}
	return evicted
}

func wantEvicted(t *testing.T, what string, got []*conn, want ...*conn) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d connections were evicted, not the %d that are expected, or others", what, len(got), len(want))
	}
}

func TestConnTable_EvictsLongestIdleOfTheFullShare(t *testing.T) {
	t.Run("address", func(t *testing.T) {
		table := newTestTable()
		first, _ := mustAdd(t, table, testAddress(1))
		second, _ := mustAdd(t, table, testAddress(1))
		for range testPerAddress - 2 {
			mustAdd(t, table, testAddress(1))
		}
		other, evicted := mustAdd(t, table, testAddress(2))
		wantEvicted(t, "another address", evicted)
		mustAuthenticate(t, table, first, "client")
		_, evicted = mustAdd(t, table, testAddress(1))
		wantEvicted(t, "the same address", evicted, second)
		for range 2 * testPerAddress {
			mustAdd(t, table, testAddress(1)) // displaces unauthenticated connections only
		}
		if !other.entry.open || !first.entry.open {
			t.Error("another connection was given up")
		}
	})
	t.Run("unauthenticated", func(t *testing.T) {
		table := newTestTable()
		known, _ := mustAdd(t, table, testAddress(0))
		mustAuthenticate(t, table, known, "client")
		var strangers []*conn
		for n := range testUnauthenticated {
			c, evicted := mustAdd(t, table, testAddress(n))
			wantEvicted(t, "while there is room", evicted)
			strangers = append(strangers, c)
		}
		_, evicted := mustAdd(t, table, testAddress(99))
		wantEvicted(t, "no room", evicted, strangers[0])
		if !known.entry.open {
			t.Error("a connection of a client made room for an unauthenticated one")
		}
	})
	t.Run("client", func(t *testing.T) {
		table := newTestTable()
		var mine []*conn
		for n := range testPerClient {
			c, _ := mustAdd(t, table, testAddress(n))
			wantEvicted(t, "while there is room", mustAuthenticate(t, table, c, "client"))
			mine = append(mine, c)
		}
		c, _ := mustAdd(t, table, testAddress(50))
		wantEvicted(t, "another client", mustAuthenticate(t, table, c, "other"))
		c, _ = mustAdd(t, table, testAddress(51))
		wantEvicted(t, "the same client", mustAuthenticate(t, table, c, "client"), mine[0])
		wantEvicted(t, "a second request", mustAuthenticate(t, table, c, "client"))
	})
	t.Run("total", func(t *testing.T) {
		table := newTestTable()
		var known []*conn
		for n := range testTotal - 1 {
			c, _ := mustAdd(t, table, testAddress(n))
			mustAuthenticate(t, table, c, fmt.Sprint("client", n%8))
			known = append(known, c)
		}
		stranger, evicted := mustAdd(t, table, testAddress(100))
		wantEvicted(t, "while there is room", evicted)
		another, evicted := mustAdd(t, table, testAddress(101))
		wantEvicted(t, "unauthenticated first", evicted, stranger)
		mustAuthenticate(t, table, another, "late")
		_, evicted = mustAdd(t, table, testAddress(102))
		wantEvicted(t, "then the longest idle one", evicted, known[0])
	})
}

func TestConnTable_RefusesOnlyIfNoneIsIdle(t *testing.T) {
	for bound, c := range map[connBound]struct {
		n       int
		address func(n int) netip.Prefix
	}{
		boundAddress:         {testPerAddress, func(int) netip.Prefix { return testAddress(1) }},
		boundUnauthenticated: {testUnauthenticated, testAddress},
	} {
		table := newTestTable()
		var busy *conn
		for n := range c.n {
			busy, _ = mustAdd(t, table, c.address(n))
			table.setActive(busy, true)
			table.beginRequest(busy)
		}
		if evicted, refused := table.add(new(conn), c.address(0)); refused != bound || len(evicted) > 0 {
			t.Errorf("%s: refused because of %q, %d evicted", bound, refused, len(evicted))
		}
		table.endRequest(busy)
		if _, refused := table.add(new(conn), c.address(0)); refused != bound {
			t.Errorf("%s: before the response is sent, a new connection is not refused, but %q", bound, refused)
		}
		table.setActive(busy, false)
		_, evicted := mustAdd(t, table, c.address(0))
		wantEvicted(t, string(bound), evicted, busy)
	}
	table := newTestTable()
	for n := range testPerClient {
		c, _ := mustAdd(t, table, testAddress(n))
		table.beginRequest(c)
		table.setClient(c, "client", testPerClient)
	}
	c, _ := mustAdd(t, table, testAddress(99))
	table.beginRequest(c)
	if evicted, refused := table.setClient(c, "client", testPerClient); refused != boundClient || len(evicted) > 0 {
		t.Errorf("client: refused because of %q, %d evicted", refused, len(evicted))
	}
}

// TestConnTable_TrustedProxyHasNoShares also covers a connection that was active without a request: it stays idle.
func TestConnTable_TrustedProxyHasNoShares(t *testing.T) {
	table := newTestTable()
	for range testTotal {
		c, evicted := mustAdd(t, table, testAddress(1))
		wantEvicted(t, "a connection of a proxy", evicted)
		table.setActive(c, true)
		table.beginRequest(c)
		table.setTrustedProxy(c)
		table.endRequest(c)
		table.setActive(c, false)
	}
	c, evicted := mustAdd(t, table, testAddress(1))
	if len(evicted) != 1 || table.all.open != testTotal {
		t.Errorf("beyond the total, %d were evicted; %d are open", len(evicted), table.all.open)
	}
	table.setActive(c, true) // the first byte of a request
	_, evicted = mustAdd(t, table, testAddress(2))
	wantEvicted(t, "a slow header", evicted, c)
}

// BenchmarkConnTable measures a request, and a connection that makes another one go, in a full table of 20,000.
func BenchmarkConnTable(b *testing.B) {
	fill := func() (*connTable, *conn) {
		table := newConnTable(ServerConfig{MaxConnections: 20_000, MaxUnauthenticatedConnections: 10_000, MaxConnectionsPerAddress: 10_000})
		var c *conn
		for n := range 20_000 {
			c = new(conn)
			table.add(c, testAddress(n%250))
			if n < 10_000 {
				table.beginRequest(c)
				table.setClient(c, fmt.Sprint(n%10), 10_000)
				table.endRequest(c)
			}
		}
		return table, c
	}
	b.Run("request", func(b *testing.B) {
		table, c := fill()
		b.ReportAllocs()
		for b.Loop() {
			table.setActive(c, true)
			table.beginRequest(c)
			table.endRequest(c)
			table.setActive(c, false)
		}
	})
	b.Run("eviction", func(b *testing.B) {
		table, _ := fill()
		b.ReportAllocs()
		for b.Loop() {
			table.add(new(conn), testAddress(1))
		}
	})
}
