package target

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"time"

	"github.com/gocql/gocql"

	"userinfo/bench/load"
	"userinfo/internal/testcluster"
)

// driverTable is the service's own table, so that its options are the same. Row keys never collide: the service's are HMACs
// with a secret key, the driver's are SHA-256 of the session key.
const driverTable = "userinfo.sessions"

// newDriver returns the target of the bare driver, which runs in this process. All connections share one gocql session.
func (b *Testbed) newDriver(ctx context.Context, name string) (*Target, error) {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.prepareFleet(ctx); err != nil { // makes the table
		return nil, err
	}
	return &Target{Name: name, Processes: nodes, dial: func() (load.Dialer, error) { return newDriverDialer(b.cluster) }}, nil
}

// coalesce is how long gocql waits, without TLS, to write several requests at once. With TLS, it would not wait.
const coalesce = 200 * time.Microsecond

type driverDialer struct{ session *gocql.Session }

func newDriverDialer(cluster *testcluster.Cluster) (load.Dialer, error) {
	dc := cluster.Nodes("")[0].Datacentre
	config := gocql.NewCluster(cluster.Hosts(dc)...)
	config.Port = testcluster.Port
	config.ProtoVersion = 4
	config.Authenticator = gocql.PasswordAuthenticator{Username: testcluster.Username, Password: cluster.Password()}
	config.HostDialer = tlsDialer{cluster.CAPool()}
	config.HostFilter = gocql.DataCentreHostFilter(dc)
	config.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(dc), gocql.ShuffleReplicas())
	config.Consistency = gocql.LocalQuorum
	config.NumConns = 1
	config.Timeout = load.Patience
	config.WriteCoalesceWaitTime = coalesce
	config.Logger = log.New(io.Discard, "", 0)
	config.Keyspace = "userinfo" // token awareness needs it
	session, err := config.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("connecting the driver: %w", err)
	}
	return &driverDialer{session}, nil
}

// tlsDialer opens verified TLS connections that gather writes. gocql's own dialer never gathers under TLS.
type tlsDialer struct{ pool *x509.CertPool }

// DialHost implements gocql.HostDialer.
func (d tlsDialer) DialHost(ctx context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ip := host.ConnectAddress().String()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: load.Patience}, Config: &tls.Config{RootCAs: d.pool, ServerName: ip}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(testcluster.Port)))
	if err != nil {
		return nil, err
	}
	return &gocql.DialedHost{Conn: conn}, nil
}

// Dial returns one user of the session.
func (d *driverDialer) Dial(context.Context) (load.Conn, error) { return driverConn{d.session}, nil }

// Close closes the session. It waits only for a while, because gocql v1.7.0 may never return.
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

type driverConn struct{ session *gocql.Session }

// Do runs one statement. A touch runs two, because Cassandra can only change a TTL by writing the value again.
func (c driverConn) Do(ctx context.Context, r *load.Request) error {
	hash := sha256.Sum256([]byte(r.Key))
	key := hash[:]
	const update = "UPDATE " + driverTable + " USING TTL ? SET value = ? WHERE key = ?"
	switch r.Method {
	case load.Set:
		return c.exec(ctx, update, ttl(r), r.Value, key)
	case load.Touch:
		value, err := c.read(ctx, key)
		if err != nil {
			return driverError(err)
		}
		return c.exec(ctx, update, ttl(r), value, key)
	case load.Delete:
		return c.exec(ctx, "DELETE FROM "+driverTable+" WHERE key = ?", key)
	default:
		value, err := c.read(ctx, key)
		if err != nil && !errors.Is(err, gocql.ErrNotFound) {
			return driverError(err)
		}
		return load.CheckGet(r, err == nil, len(value))
	}
}

func (c driverConn) exec(ctx context.Context, statement string, values ...any) error {
	return driverError(c.session.Query(statement, values...).WithContext(ctx).Exec())
}

func (c driverConn) read(ctx context.Context, key []byte) (value []byte, err error) {
	var ttl *int
	var timestamp *int64
	const statement = "SELECT value, TTL(value), WRITETIME(value) FROM " + driverTable + " WHERE key = ?"
	err = c.session.Query(statement, key).WithContext(ctx).Scan(&value, &ttl, &timestamp)
	return value, err
}

// driverError turns an error answer of Cassandra into a Failure that is named by its code.
func driverError(err error) error {
	var answer gocql.RequestError
	switch {
	case errors.Is(err, gocql.ErrNotFound):
		return load.NotFound
	case errors.Is(err, gocql.ErrTimeoutNoResponse):
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case errors.As(err, &answer):
		return load.Failure(fmt.Sprintf("cassandra 0x%04x", answer.Code()))
	}
	return err
}

// Close does nothing: the session belongs to the dialer.
func (driverConn) Close() error { return nil }
