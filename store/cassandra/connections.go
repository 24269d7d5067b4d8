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

// connections are one connection to each node of the local datacentre, and what is known about the nodes from them.
type connections struct {
	driver *gocql.Session
	runner *coordinator.Runner
	panics *panics.Recorder
}

// connect makes connections. Their statements are counted in streams and m.
func connect(c Config, l *login, streams *streamCounter, m *coordinator.Metrics, log *slog.Logger, now func() time.Time) (connections, error) {
	runner := coordinator.NewRunner(now, m, c.Panics)
	d := driverConfig(c, l, log)
	d.PoolConfig.HostSelectionPolicy = runner.HostPolicy()
	d.ConvictionPolicy = runner.ConvictionPolicy()
	d.StreamObserver = streams
	d.HostDialer = dialer{tls: c.TLS, port: c.Port, timeout: c.Timeout, streams: streams, panics: c.Panics}
	session, err := d.CreateSession()
	if err != nil {
		return connections{}, connectError(c, l, err)
	}
	return connections{session, runner, c.Panics}, nil
}

func (c connections) close() { closeDriver(c.driver, c.panics) }

// twoConnections has connections of their own for large values. A frame is sent and received as a whole, so on one connection
// everything else would wait behind a large value. The circuit breakers and the hedge delays are separate, too, because a
// large value takes longer on a healthy node.
type twoConnections struct {
	connections             // for everything except large values
	large       connections // for large values; see store.IsLarge
}

// connectTwice makes both connections, or none.
func connectTwice(c Config, m *Metrics, log *slog.Logger, now func() time.Time) (two twoConnections, err error) {
	l := newLogin(c, m.passwordRefused, log, now)
	streams := newStreamCounter(m.inFlight)
	if two.connections, err = connect(c, l, streams, m.coordinator, log, now); err != nil {
		return twoConnections{}, err
	}
	if two.large, err = connect(c, l, streams, m.coordinator.WithoutNodes(), log, now); err != nil {
		two.connections.close()
		return twoConnections{}, err
	}
	return two, nil
}

// of returns the connections for the operation that ctx belongs to.
func (two twoConnections) of(ctx context.Context) connections {
	if store.IsLarge(ctx) {
		return two.large
	}
	return two.connections
}

// close closes all connections, or gives up after closeTimeout.
func (two twoConnections) close() {
	closed := make(chan struct{})
	go func() {
		defer two.panics.Recover(panics.Database, nil)
		defer close(closed)
		two.large.close()
	}()
	two.connections.close()
	<-closed
}

// setKeyspace tells both runners how many replicas the keyspace has in the local datacentre; see
// coordinator.Runner.SetKeyspace.
func (two twoConnections) setKeyspace(replicas int, problem error) {
	two.runner.SetKeyspace(replicas, problem)
	two.large.runner.SetKeyspace(replicas, problem)
}
