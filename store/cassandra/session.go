package cassandra

import (
	"context"
	"log/slog"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// closeTimeout is how long Close waits for the driver.
const closeTimeout = 3 * time.Second

// Session is a set of connections to the nodes of the local datacentre. All methods are safe for concurrent use.
type Session struct {
	twoConnections
	keyspace   string
	datacentre string
	stopWatch  func()
}

// Open connects to a cluster. It tries once, and does not retry. Statements fail while the keyspace does not exist or has no
// replicas in the local datacentre. The error wraps ErrCannotLogIn if another attempt cannot help.
//
// ctx is only checked at the beginning, because the driver cannot stop a connection attempt early. now is the clock of
// the nodes' circuit breakers.
func Open(ctx context.Context, c Config, m *Metrics, log *slog.Logger, now func() time.Time) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	two, err := connectTwice(c, m, log, now)
	if err != nil {
		return nil, err
	}
	watch := newKeyspaceWatch(two, c, m, log)
	watch.read(context.WithoutCancel(ctx))
	return &Session{twoConnections: two, keyspace: c.Keyspace, datacentre: c.LocalDatacentre, stopWatch: watch.start(watch.read)}, nil
}

// Close closes all connections. Statements that still run fail. Close returns after at most 3 s.
func (s *Session) Close() {
	s.stopWatch()
	s.close()
}

// LocalDatacentre returns the name of the datacentre whose nodes the session asks.
func (s *Session) LocalDatacentre() string { return s.datacentre }

// Query runs a statement that reads the schema or settings, at ONE on any node, and returns its rows by column name. It
// implements schema.DB. The service must not use it to read a collection.
func (s *Session) Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error) {
	return coordinator.Run(ctx, s.runner, coordinator.CallPolicy{Kind: coordinator.OneNode}, func(ctx context.Context) ([]map[string]any, error) {
		return queryMaps(s.driver.Query(cql, args...).WithContext(ctx).Consistency(gocql.One))
	})
}

// Nodes returns the IP addresses of the local nodes that are up, sorted as text. It implements schema.DB.
func (s *Session) Nodes() []string { return s.runner.Addresses() }

// QueryNode is Query on the node with this address, and on no other. It implements schema.DB.
func (s *Session) QueryNode(ctx context.Context, address, cql string, args ...any) ([]map[string]any, error) {
	return queryNode(ctx, s.driver, s.runner, address, cql, args)
}

// Table returns the table of a collection. The table must exist.
func (s *Session) Table(c store.CollectionConfig) *Table {
	return newTable(s.twoConnections, s.keyspace, c)
}

// ClockTable returns the table of heartbeats.
func (s *Session) ClockTable() *ClockTable { return newClockTable(s.driver, s.runner, s.keyspace) }

// closeDriver closes a driver's session, or gives up after closeTimeout.
func closeDriver(s *gocql.Session, p *panics.Recorder) { closeWithTimeout(s.Close, p) }

// closeWithTimeout calls closeSession, and returns when it has returned or after closeTimeout. gocql v1.7.0 may wait for
// ever if it is about to refresh its ring: refreshDebouncer.stop then sends to a goroutine that has just ended. In that
// case the goroutine of closeWithTimeout stays until the process ends.
func closeWithTimeout(closeSession func(), p *panics.Recorder) {
	closed := make(chan struct{})
	go func() {
		defer p.Recover(panics.Database, nil)
		defer close(closed)
		closeSession()
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}
