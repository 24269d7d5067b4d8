package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// Cassandra's native protocol over TLS, as this service speaks it.
const (
	connectTimeout    = time.Second
	reconnectInterval = time.Second
)

// CassandraConfig says how to reach a cluster.
type CassandraConfig struct {
	// Hosts are contact points in the local datacentre: names or addresses.
	Hosts []string
	Port  int
	// Keyspace of all collections.
	Keyspace string
	// LocalDatacentre as Cassandra calls it. Nodes of others are never asked.
	LocalDatacentre string
	Username        string
	Password        string
	// TLS gives the settings for the next connection. Where its ServerName is empty, a node's certificate must be
	// for the node's address.
	TLS func() *tls.Config
	// Timeout is how long a statement may take: longer than Cassandra's own write timeout (2 s). 0 is for ever.
	Timeout time.Duration
}

// String keeps the password out of logs.
func (c CassandraConfig) String() string {
	return fmt.Sprintf("%s@%s:%d datacentre %s keyspace %s", c.Username, strings.Join(c.Hosts, ","), c.Port, c.LocalDatacentre, c.Keyspace)
}

// GoString is String.
func (c CassandraConfig) GoString() string { return c.String() }

// Cassandra is a connection to the local datacentre of a cluster. Close it.
type Cassandra struct {
	session    *gocql.Session
	runner     *runner
	keyspace   string
	datacentre string
}

// Open connects to a cluster whose keyspace exists. It tries once; ctx bounds nothing but is checked first, for
// the driver has no way to give up early. now is the clock of the coordinators' breakers.
func Open(ctx context.Context, c CassandraConfig, m *CassandraMetrics, log *slog.Logger, now func() time.Time) (*Cassandra, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hosts := newCoordinators(c.LocalDatacentre, now, m)
	config := driverConfig(c, log)
	config.Keyspace = c.Keyspace
	config.PoolConfig.HostSelectionPolicy = hosts
	streams := newInFlight(m.inFlight)
	config.StreamObserver = streams
	config.HostDialer = dialer{tls: c.TLS, port: c.Port, timeout: c.Timeout, streams: streams}
	session, err := config.CreateSession()
	if err != nil {
		return nil, cannotConnect(c, err)
	}
	r := &runner{coordinators: hosts, metrics: m}
	r.savings.Store(hedgeCost * hedgeSavings)
	return &Cassandra{session: session, runner: r, keyspace: c.Keyspace, datacentre: c.LocalDatacentre}, nil
}

// cannotConnect explains what the driver calls filtered.
func cannotConnect(c CassandraConfig, err error) error {
	hint := ""
	if strings.Contains(err.Error(), "filtered") {
		hint = fmt.Sprintf(" (a filtered host is none of datacentre %s: is that its name, as nodetool status has it?)", c.LocalDatacentre)
	}
	return fmt.Errorf("connecting to Cassandra (%v): %w%s", c, err, hint)
}

// Close ends all connections. Operations under way fail.
func (c *Cassandra) Close() { closeSession(c.session) }

// closePatience bounds the wait for a session to close.
const closePatience = 3 * time.Second

// closeSession closes a session, or leaves it half closed: gocql v1.7.0 waits for ever where its ring refresh happens to be
// due at that moment (refreshDebouncer.stop sends to a goroutine that has just ended). All that is left open then is what
// the process's end closes.
func closeSession(s *gocql.Session) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.Close()
	}()
	select {
	case <-closed:
	case <-time.After(closePatience):
	}
}

// Table is the table of a collection, which must exist in the keyspace: see package schema.
func (c *Cassandra) Table(config CollectionConfig) interface {
	Rows
	PendingDeletes
} {
	return newTable(c.session, c.runner, c.keyspace, config)
}

func driverConfig(c CassandraConfig, log *slog.Logger) *gocql.ClusterConfig {
	config := gocql.NewCluster(c.Hosts...)
	config.Port = c.Port
	config.ProtoVersion = 4
	config.Authenticator = gocql.PasswordAuthenticator{Username: c.Username, Password: c.Password}
	config.HostDialer = dialer{tls: c.TLS, port: c.Port, timeout: c.Timeout}
	config.HostFilter = gocql.DataCentreHostFilter(c.LocalDatacentre)
	config.Consistency = gocql.LocalQuorum
	config.Timeout = c.Timeout
	config.ConnectTimeout = connectTimeout
	config.NumConns = 1
	config.ReconnectInterval = reconnectInterval
	config.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: reconnectInterval}
	config.DefaultTimestamp = false // every write carries its own
	config.Logger = driverLog{log}
	return config
}

// dialer makes verified TLS connections. There is no other kind: the driver's own TLS options skip verification
// when only a CA is given, and TLS settings that are fixed at the start could not be rotated.
type dialer struct {
	tls     func() *tls.Config
	port    int
	timeout time.Duration // of sending
	streams *inFlight     // is told when a connection ends; may be nil
}

// DialHost implements gocql.HostDialer.
func (d dialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ip := host.ConnectAddress()
	address := net.JoinHostPort(ip.String(), fmt.Sprint(d.port))
	tcp, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config := d.tls().Clone()
	if config.ServerName == "" {
		config.ServerName = ip.String()
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secure := tls.Client(tcp, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with Cassandra at %s: %w", address, err), tcp.Close())
	}
	var conn net.Conn = newGathering(secure, d.timeout)
	if d.streams != nil {
		conn = d.streams.watch(conn, host)
	}
	// The driver's own gathering waits for more to send, even where nothing is being sent.
	return &gocql.DialedHost{Conn: conn, DisableCoalesce: true}, nil
}

// driverLog takes what the driver has to say: about hosts and connections, never about keys or values.
type driverLog struct{ log *slog.Logger }

func (l driverLog) Print(v ...any) {
	l.log.Debug("driver", "said", strings.TrimSpace(fmt.Sprint(v...)))
}
func (l driverLog) Println(v ...any)               { l.Print(v...) }
func (l driverLog) Printf(format string, v ...any) { l.Print(fmt.Sprintf(format, v...)) }

// Admin is a connection for describing and changing the schema. It reads no collection, and holds no Caller:
// whoever has Cassandra's own credentials and these commands is the operator.
type Admin struct{ session *gocql.Session }

// OpenAdmin connects without a keyspace, which may have yet to be made. Close it.
func OpenAdmin(ctx context.Context, c CassandraConfig, log *slog.Logger) (*Admin, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.Timeout = 20 * time.Second // a schema change has all nodes agree
	config := driverConfig(c, log)
	config.Consistency = gocql.LocalOne // of the system's own tables, which every node has
	session, err := config.CreateSession()
	if err != nil {
		return nil, cannotConnect(c, err)
	}
	return &Admin{session}, nil
}

// Close ends the connection.
func (a *Admin) Close() { closeSession(a.session) }

// Query runs one statement and returns its rows by column name. A statement that changes the schema returns once
// the nodes agree on it.
func (a *Admin) Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error) {
	all, err := a.session.Query(cql, args...).WithContext(ctx).Iter().SliceMap()
	if err != nil {
		return nil, fmt.Errorf("asking Cassandra: %w", err)
	}
	return all, nil
}
