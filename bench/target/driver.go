package target

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"userinfo/bench/load"
	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

// The bare driver has a table like the service's, in a keyspace of its own.
const (
	driverKeyspace = "bench_driver"
	driverTable    = "sessions"
)

// DriverSettings say how the bare driver asks Cassandra.
type DriverSettings struct {
	Hosts        []string // contact points in Datacentre
	Port         int
	Datacentre   string
	Keyspace     string
	Table        string
	Username     string
	PasswordFile string
	CA           string // PEM
	// CoalesceMicros is how long a frame waits for others to be written with: the driver's own 200 µs without TLS. 0 writes
	// each at once, which is the driver's own with TLS.
	CoalesceMicros int
}

// coalesceMicros is the driver's own: gocql.NewCluster.
const coalesceMicros = 200

// Driver makes the table. The driver itself runs in the generator's process: one session for all its connections.
func (l *Lab) Driver(ctx context.Context, name string) (*Target, error) {
	nodes, err := l.nodes(ctx)
	if err != nil {
		return nil, err
	}
	if l.driver == nil {
		if err := l.makeDriverTable(ctx); err != nil {
			return nil, err
		}
	}
	return &Target{Name: name, Kind: KindDriver, Settings: encode(l.driver), Nodes: l.Nodes(), Processes: nodes}, nil
}

// makeDriverTable has package schema make it, so that its options are those of the service's.
func (l *Lab) makeDriverTable(ctx context.Context) error {
	all := l.cluster.Nodes("")
	dc := all[0].Datacentre
	replication := make(map[string]int)
	for _, n := range all {
		replication[n.Datacentre]++
	}
	admin, err := cassandra.OpenAdmin(ctx, cassandra.Config{
		Hosts: l.cluster.Hosts(dc), Port: testcluster.Port, LocalDatacentre: dc,
		Username: testcluster.Username, Password: l.cluster.Password(),
		TLS: func() *tls.Config { return &tls.Config{RootCAs: l.cluster.CAPool()} },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer admin.Close()
	err = schema.Apply(ctx, admin, schema.Spec{
		Keyspace: driverKeyspace, Replication: replication, LocalDatacentre: dc,
		Tables: []schema.Table{{Name: driverTable, Layout: store.LayoutUserInfo, MaxTTL: seconds(defaultTTL), Fence: store.TombstoneLead(time.Minute)}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	l.driver = &DriverSettings{
		Hosts: l.cluster.Hosts(dc), Port: testcluster.Port, Datacentre: dc, Keyspace: driverKeyspace, Table: driverTable,
		Username: testcluster.Username, PasswordFile: l.cluster.PasswordFile(), CA: l.cluster.CAFile(), CoalesceMicros: coalesceMicros,
	}
	return nil
}

// driverDialer is a session, which its connections share. Its statements are fixed.
type driverDialer struct {
	session           *gocql.Session
	get, set, discard string
}

func (s DriverSettings) dialer() (load.Dialer, error) {
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, err
	}
	pool, err := readPool(s.CA)
	if err != nil {
		return nil, err
	}
	config := gocql.NewCluster(s.Hosts...)
	config.Port = s.Port
	config.ProtoVersion = 4
	config.Keyspace = s.Keyspace
	config.Authenticator = gocql.PasswordAuthenticator{Username: s.Username, Password: strings.TrimRight(string(password), "\r\n")}
	config.HostDialer = hostDialer{pool, s.Port, s.CoalesceMicros > 0}
	config.HostFilter = gocql.DataCentreHostFilter(s.Datacentre)
	config.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(s.Datacentre), gocql.ShuffleReplicas())
	config.Consistency = gocql.LocalQuorum
	config.NumConns = 1
	config.Timeout = load.Patience
	config.WriteCoalesceWaitTime = time.Duration(s.CoalesceMicros) * time.Microsecond
	config.Logger = silent{}
	session, err := config.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("connecting the driver: %w", err)
	}
	table := fmt.Sprintf("%q.%q", s.Keyspace, s.Table)
	return &driverDialer{
		session: session,
		get:     "SELECT value, TTL(value), WRITETIME(value) FROM " + table + " WHERE key = ?",
		set:     "UPDATE " + table + " USING TTL ? SET value = ? WHERE key = ?",
		discard: "DELETE FROM " + table + " WHERE key = ?",
	}, nil
}

// silent is the driver's log: it would write to this process's standard error.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// hostDialer makes verified TLS connections. The driver's own never coalesces under TLS, and does not verify with a CA alone.
type hostDialer struct {
	pool     *x509.CertPool
	port     int
	coalesce bool
}

// DialHost implements gocql.HostDialer.
func (d hostDialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ip := host.ConnectAddress().String()
	tcp, err := (&net.Dialer{Timeout: load.Patience}).DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(d.port)))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(tcp, &tls.Config{RootCAs: d.pool, ServerName: ip})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return &gocql.DialedHost{Conn: conn, DisableCoalesce: !d.coalesce}, nil
}

// Dial gives a caller its place.
func (d *driverDialer) Dial(context.Context) (load.Conn, error) { return &driverConn{driver: d}, nil }

// Close ends the session, or leaves it half closed: gocql v1.7.0 can wait there for ever, see store's closeSession.
func (d *driverDialer) Close() error {
	closed := make(chan struct{})
	go func() {
		d.session.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(load.Patience):
	}
	return nil
}

// driverConn is a caller of the session.
type driverConn struct{ driver *driverDialer }

// Do is one statement, but for a touch, which reads and writes, as every touch in Cassandra must.
func (c *driverConn) Do(ctx context.Context, op *load.Op) error {
	hash := sha256.Sum256([]byte(op.Key))
	key := hash[:]
	switch op.Method {
	case load.Set:
		return refused(c.exec(ctx, c.driver.set, ttl(op), op.Value, key))
	case load.Touch:
		value, err := c.read(ctx, key)
		if err != nil {
			return refused(err)
		}
		return refused(c.exec(ctx, c.driver.set, ttl(op), value, key))
	case load.Delete:
		return refused(c.exec(ctx, c.driver.discard, key))
	default:
		value, err := c.read(ctx, key)
		if errors.Is(err, gocql.ErrNotFound) {
			return missed(op)
		}
		return found(op, len(value), refused(err))
	}
}

func (c *driverConn) exec(ctx context.Context, statement string, values ...any) error {
	return c.driver.session.Query(statement, values...).WithContext(ctx).Exec()
}

func (c *driverConn) read(ctx context.Context, key []byte) ([]byte, error) {
	var (
		value     []byte
		left      *int
		timestamp *int64
	)
	err := c.driver.session.Query(c.driver.get, key).WithContext(ctx).Scan(&value, &left, &timestamp)
	return value, err
}

// refused makes a Failure of what Cassandra has answered, by its error code, and a timeout of the driver's own.
func refused(err error) error {
	var answer gocql.RequestError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gocql.ErrNotFound):
		return load.NotFound
	case errors.Is(err, gocql.ErrTimeoutNoResponse):
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case errors.As(err, &answer):
		return load.Failure(fmt.Sprintf("cassandra 0x%04x", answer.Code()))
	}
	return err
}

// Close gives the place back.
func (*driverConn) Close() error { return nil }

// Wire cannot be told of one caller.
func (*driverConn) Wire() (sent, received int64) { return -1, -1 }
