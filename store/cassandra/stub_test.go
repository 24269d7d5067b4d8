package cassandra

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/devca"
	"userinfo/store"
)

// Opcodes of CQL's native protocol, version 4.
const (
	opError         = 0x00
	opStartup       = 0x01
	opReady         = 0x02
	opAuthenticate  = 0x03
	opOptions       = 0x05
	opSupported     = 0x06
	opQuery         = 0x07
	opResult        = 0x08
	opPrepare       = 0x09
	opExecute       = 0x0A
	opRegister      = 0x0B
	opEvent         = 0x0C
	opBatch         = 0x0D
	opAuthChallenge = 0x0E
	opAuthResponse  = 0x0F
	opAuthSuccess   = 0x10
)

// Error codes and column types of CQL.
const (
	codeBadCredentials = 0x0100
	codeUnavailable    = 0x1000
	codeUnprepared     = 0x2500

	typeBigint  = 0x02
	typeBlob    = 0x03
	typeBoolean = 0x04
	typeInt     = 0x09
	typeText    = 0x0D
	typeUUID    = 0x0C
	typeInet    = 0x10
	typeMap     = 0x21
	typeSet     = 0x22
)

// stub is a Cassandra of one datacentre, dc1, whose nodes answer as the test wants. All nodes have addresses in 127.0.0.0/8
// and the same port. Its behaviour can be changed while it runs, with set.
type stub struct {
	t    *testing.T
	ca   *devca.CA
	cert tls.Certificate
	port int

	peersRead atomic.Int64 // how often the list of nodes was read
	stopped   atomic.Int64 // frames that have become stuck

	mu sync.Mutex // guards the fields below
	stubState
	connections map[*stubConn]bool
	prepared    map[string]string // statement by id
	executed    map[string]int    // statements of the keyspace's tables by the node's address
}

// stubState is what a test can change.
type stubState struct {
	nodes         []stubNode
	replication   map[string]string // of every keyspace; nil if no keyspace exists
	authenticator string            // empty: no authentication
	password      string
	challenge     string // sent once before a password is checked
	unprepared    bool   // every EXECUTE and BATCH is answered UNPREPARED
	unavailable   bool   // every EXECUTE and BATCH of the keyspace's tables is answered Unavailable
	largeValue    []byte // the value of the key "large"; nil: it has no value

	// What happens to statements of the keyspace's tables:
	silence         chan struct{} // the next statement is not answered before silence is closed; nil: it is answered
	failNext        string        // the next one that begins with this text is answered Unavailable; empty: none
	eachQuorumFails bool          // every BATCH at EACH_QUORUM is answered Unavailable

	stuck chan struct{} // if set, no frame of 64 KiB or more is read or written as a whole before stuck is closed
}

// stick makes large frames stop half-way on their connections, and everything behind them wait, until release is called.
// The field stopped counts these frames.
func (s *stub) stick() (release func()) {
	stuck := make(chan struct{})
	release = sync.OnceFunc(func() { close(stuck) })
	s.set(func(s *stubState) { s.stuck = stuck })
	s.t.Cleanup(release)
	return release
}

// waitIfLarge waits in a frame of a size while large frames are stuck.
func (s *stub) waitIfLarge(size int) {
	if size < 64<<10 {
		return
	}
	if stuck := s.state().stuck; stuck != nil {
		s.stopped.Add(1)
		<-stuck
	}
}

// silenceNext makes the node that gets the next statement of the keyspace's tables not answer it. Its connection ends at the end of
// the test.
func (s *stub) silenceNext() {
	silence := make(chan struct{})
	s.set(func(s *stubState) { s.silence = silence })
	s.t.Cleanup(func() { close(silence) })
}

// takeSilence returns what to wait for instead of answering a request, or nil.
func (s *stub) takeSilence(op byte, body []byte) (silence chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == opExecute && strings.Contains(s.prepared[string(body[2:2+binary.BigEndian.Uint16(body)])], "system_schema") || op != opExecute && op != opBatch {
		return nil
	}
	silence, s.silence = s.silence, nil
	return silence
}

// stubNode is one node.
type stubNode struct {
	id      byte   // the last byte of the host ID
	address string // 127.0.0.x
	tokens  []string
	down    bool // does not accept connections
}

// newStub starts a stub with one node, 127.0.0.1, and a keyspace with one replica.
func newStub(t *testing.T) *stub {
	ca, err := devca.New("stub")
	if err != nil {
		t.Fatal(err)
	}
	leaf := devca.Leaf{CommonName: "node", DNSNames: []string{"node1.db.example"}}
	for last := range byte(20) {
		leaf.IPs = append(leaf.IPs, net.IPv4(127, 0, 0, last))
	}
	certPEM, keyPEM, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, ca: ca, cert: cert, connections: make(map[*stubConn]bool), prepared: make(map[string]string),
		executed: make(map[string]int)}
	s.nodes = []stubNode{{id: 1, address: "127.0.0.1", tokens: []string{"0"}}}
	s.replication = map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "1"}
	s.listen("127.0.0.1")
	return s
}

// listen accepts connections at an address until the test ends.
func (s *stub) listen(address string) {
	s.t.Helper()
	l, err := tls.Listen("tcp", fmt.Sprintf("%s:%d", address, s.port), &tls.Config{Certificates: []tls.Certificate{s.cert}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c := &stubConn{Conn: conn, stub: s, address: address}
			serving.Go(c.serve)
		}
	})
	s.t.Cleanup(func() {
		_ = l.Close()
		s.disconnect("")
		serving.Wait()
	})
}

// set changes the behaviour.
func (s *stub) set(change func(*stubState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stubState)
}

func (s *stub) state() stubState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stubState
}

// disconnect closes all connections to an address, or to all addresses if it is empty.
func (s *stub) disconnect(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		if address == "" || c.address == address {
			_ = c.Close()
		}
	}
}

// send sends an event to every connection that has registered for events, of whatever type.
func (s *stub) send(event string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		if c.events != nil {
			c.write(-1, opEvent, append(text(event), body...))
		}
	}
}

// sendNode sends an event about the node with an address.
func (s *stub) sendNode(event, change, address string) {
	s.send(event, append(append(text(change), 4), append(net.ParseIP(address).To4(), integer(s.port)...)...))
}

// sendSchema sends an event about a keyspace, or about something in it.
func (s *stub) sendSchema(change, target, keyspace string) {
	body := append(append(text(change), text(target)...), text(keyspace)...)
	switch target {
	case "TABLE", "TYPE":
		body = append(body, text("name")...)
	case "FUNCTION", "AGGREGATE":
		body = append(body, append(text("name"), 0, 0)...)
	}
	s.send("SCHEMA_CHANGE", body)
}

// awaitPeersRead waits until the driver has read the list of nodes once more. Without cause, the driver does not read it.
func (s *stub) awaitPeersRead(because func()) {
	s.t.Helper()
	before := s.peersRead.Load()
	because()
	eventually(s.t, "the driver has read the list of nodes", func() bool { return s.peersRead.Load() > before })
}

// config returns the settings of a session with the stub.
func (s *stub) config() Config {
	return Config{
		Hosts: []string{"127.0.0.1"}, Port: s.port, Keyspace: "ks", LocalDatacentre: "dc1",
		TLS:     func() *tls.Config { return &tls.Config{RootCAs: s.ca.Pool()} },
		Timeout: 2 * time.Second,
	}
}

// open opens a session for the time of the test.
func (s *stub) open(c Config, log *slog.Logger) (*Session, *prometheus.Registry) {
	s.t.Helper()
	registry := prometheus.NewRegistry()
	session, err := Open(s.t.Context(), c, NewMetrics(registry), log, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(session.Close)
	return session, registry
}

// openTable opens a session and returns a table.
func (s *stub) openTable() *Table {
	s.t.Helper()
	session, _ := s.open(s.config(), slog.New(slog.DiscardHandler))
	return session.Table(store.CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour})
}

// stubConn is a connection to a node of a stub.
type stubConn struct {
	net.Conn
	stub    *stub
	address string

	writing    sync.Mutex
	events     map[string]bool // guarded by stub.mu
	challenged bool
}

// serve answers requests until the connection ends.
func (c *stubConn) serve() {
	defer func() { _ = c.Close() }()
	s := c.stub
	s.mu.Lock()
	s.connections[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.connections, c)
		s.mu.Unlock()
	}()
	for _, n := range s.state().nodes {
		if n.address == c.address && n.down {
			return
		}
	}
	header := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c.Conn, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[5:]))
		s.waitIfLarge(len(body))
		if _, err := io.ReadFull(c.Conn, body); err != nil {
			return
		}
		if silence := s.takeSilence(header[4], body); silence != nil {
			<-silence
			return
		}
		op, answer := c.answer(header[4], body)
		c.write(int16(binary.BigEndian.Uint16(header[2:])), op, answer)
	}
}

func (c *stubConn) write(stream int16, op byte, body []byte) {
	frame := []byte{0x84, 0}
	frame = binary.BigEndian.AppendUint16(frame, uint16(stream))
	frame = append(frame, op)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	c.writing.Lock()
	defer c.writing.Unlock()
	frame = append(frame, body...)
	_, _ = c.Write(frame[:len(frame)/2])
	c.stub.waitIfLarge(len(frame))
	_, _ = c.Write(frame[len(frame)/2:])
}

// answer returns the response to a request.
func (c *stubConn) answer(op byte, body []byte) (byte, []byte) {
	s := c.stub
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op {
	case opOptions:
		return opSupported, []byte{0, 0}
	case opStartup:
		if s.authenticator != "" {
			return opAuthenticate, text(s.authenticator)
		}
		return opReady, nil
	case opAuthResponse:
		return c.checkPassword(body[4:])
	case opRegister:
		c.events = make(map[string]bool)
		for _, event := range []string{"TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE"} {
			c.events[event] = bytes.Contains(body, []byte(event))
		}
		return opReady, nil
	case opQuery:
		return s.query(c.address, string(body[4:4+binary.BigEndian.Uint32(body)]))
	case opPrepare:
		return s.prepare(string(body[4:]))
	case opExecute:
		id := string(body[2 : 2+binary.BigEndian.Uint16(body)])
		if !strings.Contains(s.prepared[id], "system_schema") {
			s.executed[c.address]++
		}
		if s.largeValue != nil && strings.HasPrefix(s.prepared[id], "SELECT value") && bytes.Contains(body, []byte("large")) {
			return s.largeRow(s.prepared[id])
		}
		return s.execute(s.prepared[id], id)
	case opBatch:
		id := string(body[6 : 6+binary.BigEndian.Uint16(body[4:])])
		const eachQuorum = 7
		if s.eachQuorumFails && binary.BigEndian.Uint16(body[len(body)-3:]) == eachQuorum { // one byte of flags follows
			return opError, unavailable()
		}
		return s.execute(s.prepared[id], id)
	}
	return opError, failure(0x000A, "unknown opcode")
}

// checkPassword answers a SASL response.
func (c *stubConn) checkPassword(response []byte) (byte, []byte) {
	s := c.stub
	if s.challenge != "" && !c.challenged {
		c.challenged = true
		return opAuthChallenge, value([]byte(s.challenge))
	}
	if string(response) != "\x00user\x00"+s.password {
		return opError, failure(codeBadCredentials, "Provided username user and/or password are incorrect")
	}
	return opAuthSuccess, value(nil)
}

// query answers an unprepared statement, which only the driver itself sends.
func (s *stub) query(address, cql string) (byte, []byte) {
	columns := []column{{"data_center", typeText}, {"rack", typeText}, {"release_version", typeText}, {"partitioner", typeText},
		{"host_id", typeUUID}, {"schema_version", typeUUID}, {"tokens", typeSet}}
	local := strings.Contains(cql, "system.local")
	if !local {
		s.peersRead.Add(1)
	}
	if local {
		columns = append(columns, column{"broadcast_address", typeInet}, column{"rpc_address", typeInet})
	} else {
		columns = append(columns, column{"peer", typeInet}, column{"native_address", typeInet})
	}
	var rows [][][]byte
	for _, n := range s.nodes {
		if (n.address == address) != local {
			continue
		}
		ip := net.ParseIP(n.address).To4()
		rows = append(rows, [][]byte{[]byte("dc1"), []byte("rack1"), []byte("5.0.6"), []byte("org.apache.cassandra.dht.Murmur3Partitioner"),
			append(make([]byte, 15), n.id), make([]byte, 16), list(n.tokens), ip, ip})
	}
	return opResult, append(integer(2), append(metadata(columns, 1), rowsOf(rows)...)...)
}

// column is a column of a result, or a value that a statement binds.
type column struct {
	name string
	kind uint16
}

// bound returns what a statement binds and what it returns.
func bound(cql string) (binds, result []column) {
	switch {
	case strings.HasPrefix(cql, "SELECT replication"):
		return []column{{"keyspace_name", typeText}}, []column{{"replication", typeMap}}
	case strings.HasPrefix(cql, "SELECT key"):
		return []column{{"key", typeBlob}}, []column{{"key", typeBlob}}
	case strings.HasPrefix(cql, "SELECT value"):
		return []column{{"key", typeBlob}}, []column{{"value", typeBlob}, {"ttl(value)", typeInt}, {"writetime(value)", typeBigint}, {"gone", typeBoolean}}
	case strings.HasPrefix(cql, "SELECT gone"):
		return []column{{"key", typeBlob}}, []column{{"gone", typeBoolean}}
	case strings.HasPrefix(cql, "UPDATE") && strings.Contains(cql, entryTable):
		return []column{{"[timestamp]", typeBigint}, {"tombstone", typeBigint}, {"marker", typeBigint}, {"marker_ttl", typeInt},
			{"segment", typeText}, {"key", typeBlob}}, nil
	case strings.HasPrefix(cql, "UPDATE") && strings.Contains(cql, segmentTable):
		return []column{{"[timestamp]", typeBigint}, {"used", typeBigint}, {"bucket", typeInt}, {"collection", typeText}, {"segment", typeText}}, nil
	case strings.HasPrefix(cql, "UPDATE") && strings.Contains(cql, "SET gone"):
		return []column{{"[timestamp]", typeBigint}, {"[ttl]", typeInt}, {"key", typeBlob}}, nil
	case strings.HasPrefix(cql, "UPDATE"):
		return []column{{"[timestamp]", typeBigint}, {"[ttl]", typeInt}, {"value", typeBlob}, {"key", typeBlob}}, nil
	case strings.HasPrefix(cql, "DELETE value"):
		return []column{{"[timestamp]", typeBigint}, {"key", typeBlob}}, nil
	}
	panic("the stub does not know the statement " + cql)
}

func (s *stub) prepare(cql string) (byte, []byte) {
	binds, result := bound(cql)
	s.prepared[cql] = cql
	body := append(integer(4), text(cql)...)
	body = append(body, integer(1)...) // the table's name stands once
	body = append(body, integer(len(binds))...)
	body = append(body, integer(0)...) // no partition key columns
	body = append(body, columnsOf(binds)...)
	return opResult, append(body, metadata(result, 1)...)
}

func (s *stub) execute(cql, id string) (byte, []byte) {
	ownTable := !strings.Contains(cql, "system_schema")
	switch {
	case s.unprepared && ownTable || cql == "":
		return opError, append(failure(codeUnprepared, "Prepared query not found"), text(id)...)
	case s.unavailable && ownTable:
		return opError, unavailable()
	case s.failNext != "" && strings.HasPrefix(cql, s.failNext) && ownTable:
		s.failNext = ""
		return opError, unavailable()
	case strings.HasPrefix(cql, "SELECT replication"):
		_, result := bound(cql)
		var rows [][][]byte
		if s.replication != nil {
			rows = [][][]byte{{textMap(s.replication)}}
		}
		return opResult, append(integer(2), append(metadata(result, 5)[:8], rowsOf(rows)...)...)
	case strings.HasPrefix(cql, "SELECT"):
		_, result := bound(cql)
		return opResult, append(integer(2), append(metadata(result, 5)[:8], rowsOf(nil)...)...)
	}
	return opResult, integer(1) // void
}

// largeRow returns the row of the key "large".
func (s *stub) largeRow(cql string) (byte, []byte) {
	_, result := bound(cql)
	cells := [][]byte{s.largeValue, integer(3600), binary.BigEndian.AppendUint64(nil, 1), nil}
	return opResult, append(integer(2), append(metadata(result, 5)[:8], rowsOf([][][]byte{cells})...)...)
}

// The functions below encode values as the protocol wants them.

func integer(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func value(b []byte) []byte {
	if b == nil {
		return integer(-1)
	}
	return append(integer(len(b)), b...)
}

func list(texts []string) []byte {
	body := integer(len(texts))
	for _, s := range texts {
		body = append(body, value([]byte(s))...)
	}
	return body
}

func textMap(m map[string]string) []byte {
	body := integer(len(m))
	for k, v := range m {
		body = append(body, value([]byte(k))...)
		body = append(body, value([]byte(v))...)
	}
	return body
}

func unavailable() []byte {
	body := append(failure(codeUnavailable, "Cannot achieve consistency level LOCAL_QUORUM"), 0, 6)
	return append(body, append(integer(1), integer(0)...)...)
}

func failure(code int, message string) []byte { return append(integer(code), text(message)...) }

func metadata(columns []column, flags int) []byte {
	return append(append(integer(flags), integer(len(columns))...), columnsOf(columns)...)
}

func columnsOf(columns []column) []byte {
	body := append(text("ks"), text("sessions")...)
	for _, c := range columns {
		body = append(body, text(c.name)...)
		body = binary.BigEndian.AppendUint16(body, c.kind)
		switch c.kind {
		case typeSet:
			body = binary.BigEndian.AppendUint16(body, typeText)
		case typeMap:
			body = binary.BigEndian.AppendUint32(body, typeText<<16|typeText)
		}
	}
	return body
}

func rowsOf(rows [][][]byte) []byte {
	body := integer(len(rows))
	for _, row := range rows {
		for _, cell := range row {
			body = append(body, value(cell)...)
		}
	}
	return body
}

// eventually waits until done returns true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}

func TestStub_AnswersAsCassandra(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	table := s.openTable()
	if err := table.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if row, err := table.Read(t.Context(), "key"); err != nil || row.Data != nil {
		t.Errorf("got row %v and error %v", row, err)
	}
	if err := table.Delete(t.Context(), "key", store.Deletion{Tombstone: 1}, store.LocalQuorum); err != nil {
		t.Error(err)
	}
	s.set(func(s *stubState) { s.unavailable = true })
	if err := table.Delete(t.Context(), "key", store.Deletion{Tombstone: 1}, store.EachQuorum); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v, want store.ErrUnavailable", err)
	}
}
