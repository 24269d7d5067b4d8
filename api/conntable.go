package api

import (
	"net/netip"
	"sync"
)

// connBound is a bound on the number of connections. It is a label of metrics.
type connBound string

const (
	boundTotal           connBound = "total"
	boundUnauthenticated connBound = "unauthenticated"
	boundAddress         connBound = "address"
	boundClient          connBound = "client"
)

// connTable counts the open connections of a Server and decides which of them may stay.
//
// Every connection counts in total and belongs to shares, each with a bound of its own:
//
//	share            which connections                                          bound
//	unauthenticated  those without a request that a client was found for        ServerConfig.MaxUnauthenticatedConnections
//	address          those of one peer address: an IPv4 address or an IPv6 /64  ServerConfig.MaxConnectionsPerAddress
//	client           those whose first authenticated request was this client's  access.Limits.MaxConnections
//
// If a share is full, or all is full, the longest idle connection there is closed, and the new one stays. Unauthenticated
// connections are closed first. A connection is idle if it carries no request. Only if none is idle, the new connection is
// refused.
//
// A connection that comes through the PROXY protocol counts for the address in its header. The proxy's own address has no
// share, because all clients behind the proxy have this address. A trusted proxy that terminates TLS has neither a share of
// its address nor of a client: it carries requests of many clients. Such connections count in total only.
//
// Every method takes constant time, whatever the number of connections. No method closes a connection while it holds the
// lock: the caller closes what the method returns. A connection that the table has given up counts no more, although its
// file descriptor is still open for a moment.
//
// All methods are safe for concurrent use. A bound of 0 does not exist.
type connTable struct {
	maxTotal, maxUnauthenticated, maxPerAddress int

	mu              sync.Mutex // guards the fields below, and conn.entry of all connections
	all             connShare
	unauthenticated int
	addresses       map[netip.Prefix]*connShare
	clients         map[string]*connShare
}

func newConnTable(c ServerConfig) *connTable {
	return &connTable{
		maxTotal: c.MaxConnections, maxUnauthenticated: c.MaxUnauthenticatedConnections, maxPerAddress: c.MaxConnectionsPerAddress,
		addresses: make(map[netip.Prefix]*connShare), clients: make(map[string]*connShare),
	}
}

// connShare is a set of connections. It knows how many there are, and lists the idle ones: the unauthenticated ones, and the
// others.
type connShare struct {
	open                           int
	unauthenticated, authenticated idleList
}

// idleList lists connections, the longest idle one first.
type idleList struct{ first, last *conn }

// longestIdle returns the connection that is given up next, or nil if none is idle.
func (s *connShare) longestIdle() *conn {
	if s.unauthenticated.first != nil {
		return s.unauthenticated.first
	}
	return s.authenticated.first
}

// list returns the list of s that c belongs to while it is idle.
func (s *connShare) list(c *conn) *idleList {
	if c.entry.authenticated {
		return &s.authenticated
	}
	return &s.unauthenticated
}

// shareKind is one of the shares that a connection belongs to.
type shareKind int

const (
	inTotal shareKind = iota // all connections
	byAddress
	byClient
	shareKinds
)

// connEntry is what a connTable knows about a connection.
type connEntry struct {
	open          bool // the table counts the connection
	authenticated bool
	requests      int  // that handlers are serving
	active        bool // net/http has not sent the last response completely
	idle          bool // the connection is in the lists of its shares

	address     netip.Prefix
	client      string
	memberships [shareKinds]membership
}

type membership struct {
	share          *connShare // nil: the connection is in no share of this kind
	previous, next *conn      // in the list of idle connections
}

// eviction is a connection that was given up to make room for another, and which bound was reached.
type eviction struct {
	conn  *conn
	bound connBound
}

// add counts a new connection, which is idle. Without an address the connection has no share of an address. If there is no
// room and no idle connection, add returns the bound that refuses it. The caller must close the evicted connections in any
// case.
func (t *connTable) add(c *conn, address netip.Prefix) (evicted []eviction, refused connBound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if evicted, refused = t.makeRoom(evicted, boundAddress, t.addresses[address], t.maxPerAddress); refused != "" {
		return evicted, refused
	}
	if t.maxUnauthenticated > 0 && t.unauthenticated >= t.maxUnauthenticated {
		longest := t.all.unauthenticated.first
		if longest == nil {
			return evicted, boundUnauthenticated
		}
		t.forget(longest)
		evicted = append(evicted, eviction{longest, boundUnauthenticated})
	}
	if evicted, refused = t.makeRoom(evicted, boundTotal, &t.all, t.maxTotal); refused != "" {
		return evicted, refused
	}
	t.unauthenticated++
	c.entry.open, c.entry.idle = true, true
	t.join(c, inTotal, &t.all)
	t.joinAddress(c, address)
	return evicted, ""
}

// makeRoom gives up the longest idle connection of a share that has reached its bound. The caller holds mu.
func (t *connTable) makeRoom(evicted []eviction, bound connBound, s *connShare, limit int) ([]eviction, connBound) {
	switch {
	case s == nil || limit <= 0 || s.open < limit:
		return evicted, ""
	case s.longestIdle() == nil:
		return evicted, bound
	}
	longest := s.longestIdle()
	t.forget(longest)
	return append(evicted, eviction{longest, bound}), ""
}

// setAddress sets the address of a connection that was added without one.
func (t *connTable) setAddress(c *conn, address netip.Prefix) (evicted []eviction, refused connBound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.entry.open || c.entry.memberships[byAddress].share != nil {
		return nil, ""
	}
	if evicted, refused = t.makeRoom(nil, boundAddress, t.addresses[address], t.maxPerAddress); refused == "" {
		t.joinAddress(c, address)
	}
	return evicted, refused
}

// setClient moves a connection to the share of a client, unless it has one. The connection is not idle: it carries a request
// of this client.
func (t *connTable) setClient(c *conn, client string, limit int) (evicted []eviction, refused connBound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.entry.open || c.entry.memberships[byClient].share != nil {
		return nil, ""
	}
	if evicted, refused = t.makeRoom(nil, boundClient, t.clients[client], limit); refused != "" {
		return nil, refused
	}
	t.authenticate(c)
	if t.clients[client] == nil {
		t.clients[client] = new(connShare)
	}
	c.entry.client = client
	t.join(c, byClient, t.clients[client])
	return evicted, ""
}

// setTrustedProxy makes a connection count in total only.
func (t *connTable) setTrustedProxy(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.entry.open {
		t.authenticate(c)
		t.leave(c, byAddress)
	}
}

// authenticate makes a connection authenticated. The caller holds mu.
func (t *connTable) authenticate(c *conn) {
	if c.entry.authenticated {
		return
	}
	idle := c.entry.idle
	c.setIdle(false) // it moves to other lists
	c.entry.authenticated = true
	t.unauthenticated--
	c.setIdle(idle)
}

// beginRequest notes that a handler serves a request of a connection.
func (t *connTable) beginRequest(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.entry.requests++
	c.setIdle(false)
}

// endRequest ends what beginRequest began.
func (t *connTable) endRequest(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.entry.requests--
	c.updateIdle()
}

// setActive notes whether net/http is serving a connection. net/http says so from the first byte of a request, so a client
// could make a connection active without a request: that alone does not end idleness. But the connection becomes idle again
// only when net/http has sent the response, too.
func (t *connTable) setActive(c *conn, active bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.entry.active = active
	c.updateIdle()
}

// updateIdle makes c idle if it carries no request. The caller holds mu.
func (c *conn) updateIdle() {
	if c.entry.requests == 0 && !c.entry.active {
		c.setIdle(true)
	}
}

// setIdle adds c to the lists of its shares or removes it. The caller holds mu.
func (c *conn) setIdle(idle bool) {
	if !c.entry.open || c.entry.idle == idle {
		return
	}
	c.entry.idle = idle
	for kind := range shareKinds {
		switch {
		case c.entry.memberships[kind].share == nil:
		case idle:
			c.link(kind)
		default:
			c.unlink(kind)
		}
	}
}

// remove removes a connection that is closed.
func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(c)
}

// forget stops counting a connection. The caller holds mu.
func (t *connTable) forget(c *conn) {
	if !c.entry.open {
		return
	}
	for kind := range shareKinds {
		t.leave(c, kind)
	}
	c.entry.open = false
	if !c.entry.authenticated {
		t.unauthenticated--
	}
}

// counts returns how many connections are open, and how many of them are unauthenticated.
func (t *connTable) counts() (total, unauthenticated int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.open, t.unauthenticated
}

// joinAddress adds c to the share of an address, if there is one. The caller holds mu.
func (t *connTable) joinAddress(c *conn, address netip.Prefix) {
	if !address.IsValid() {
		return
	}
	if t.addresses[address] == nil {
		t.addresses[address] = new(connShare)
	}
	c.entry.address = address
	t.join(c, byAddress, t.addresses[address])
}

// join adds c to a share. The caller holds mu.
func (t *connTable) join(c *conn, kind shareKind, s *connShare) {
	c.entry.memberships[kind].share = s
	s.open++
	if c.entry.idle {
		c.link(kind)
	}
}

// leave removes c from its share of a kind, if there is one, and forgets a share that is empty. The caller holds mu.
func (t *connTable) leave(c *conn, kind shareKind) {
	s := c.entry.memberships[kind].share
	if s == nil {
		return
	}
	if c.entry.idle {
		c.unlink(kind)
	}
	c.entry.memberships[kind] = membership{}
	if s.open--; s.open > 0 {
		return
	}
	switch kind {
	case byAddress:
		delete(t.addresses, c.entry.address)
	case byClient:
		delete(t.clients, c.entry.client)
	}
}

// link appends c to the list of its share. The caller holds mu.
func (c *conn) link(kind shareKind) {
	m := &c.entry.memberships[kind]
	list := m.share.list(c)
	m.previous, m.next = list.last, nil
	if m.previous == nil {
		list.first = c
	} else {
		m.previous.entry.memberships[kind].next = c
	}
	list.last = c
}

// unlink removes c from the list of its share. The caller holds mu.
func (c *conn) unlink(kind shareKind) {
	m := &c.entry.memberships[kind]
	list := m.share.list(c)
	if m.previous == nil {
		list.first = m.next
	} else {
		m.previous.entry.memberships[kind].next = m.next
	}
	if m.next == nil {
		list.last = m.previous
	} else {
		m.next.entry.memberships[kind].previous = m.previous
	}
	m.previous, m.next = nil, nil
}
