package testcluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// nodeLocal is Cassandra's consistency level NODE_LOCAL, which the driver has no name for.
const nodeLocal = gocql.Consistency(0x0B)

const (
	connectTimeout = 5 * time.Second
	// longer than any of Cassandra's own timeouts, so that its answer is what the caller gets
	answerTimeout = 15 * time.Second
)

// CQL runs a statement on one node, as Username and at LOCAL_QUORUM. It returns a line per row, each of
// "column=value" in the order of the statement, tab between them; blobs in hexadecimal as 0x…, no value as null.
// Every call has a connection of its own: CQL is for setting up and for looking, not for load.
func (c *Cluster) CQL(ctx context.Context, node *Node, statement string) (string, error) {
	return c.CQLAt(ctx, node, "LOCAL_QUORUM", statement)
}

// CQLAt is CQL at another consistency level, in Cassandra's words. At NODE_LOCAL (SELECT only) the node tells what it
// has itself and asks nobody, so that one replica can be looked into, and no read repair happens.
// Where no connection comes about within 5 s, the error is an ErrNoConnection.
func (c *Cluster) CQLAt(ctx context.Context, node *Node, consistency, statement string) (string, error) {
	return c.cqlAs(ctx, gocql.PasswordAuthenticator{Username: Username, Password: c.password}, node, consistency, statement)
}

// superuser is Cassandra's own. It only serves to set up the roles: its logins, and its alone, need a QUORUM of all
// datacentres together.
var superuser = gocql.PasswordAuthenticator{Username: "cassandra", Password: "cassandra"}

// PendingHints lists the nodes, by their ids, for which n has hints on its disk: writes that they missed, and that it is to
// bring them. What n has noted since hints_flush_period is not among them.
func (n *Node) PendingHints(ctx context.Context) (string, error) {
	return n.cluster.CQLAt(ctx, n, "ONE", "SELECT host_id FROM system_views.pending_hints")
}

// BackgroundTasks lists what n does to its tables in the background, such as compaction; empty where it does nothing.
func (n *Node) BackgroundTasks(ctx context.Context) (string, error) {
	return n.cluster.CQLAt(ctx, n, "ONE", "SELECT kind FROM system_views.sstable_tasks")
}

func (c *Cluster) cqlAs(ctx context.Context, who gocql.PasswordAuthenticator, node *Node, consistency, statement string) (string, error) {
	level := nodeLocal
	if consistency != "NODE_LOCAL" {
		var err error
		if level, err = gocql.ParseConsistencyWrapper(consistency); err != nil {
			return "", fmt.Errorf("consistency level %q: use one of Cassandra's names: %w", consistency, err)
		}
	}
	session, err := c.connect(ctx, who, node)
	if err != nil {
		return "", err
	}
	defer func() { go session.Close() }() // gocql v1.7.0 can wait there for ever: see store's closeSession
	rows, err := read(session.Query(statement).Consistency(level).WithContext(ctx).Iter())
	if err != nil {
		return "", fmt.Errorf("asking node %s at %s: %w", node.Name, consistency, err)
	}
	return rows, nil
}

// ErrNoConnection says that a node took no CQL connection.
var ErrNoConnection = errors.New("the node takes no CQL connection")

func (c *Cluster) connect(ctx context.Context, who gocql.PasswordAuthenticator, node *Node) (*gocql.Session, error) {
	config := gocql.NewCluster(node.Address)
	config.Port = Port
	config.ProtoVersion = 4
	config.DisableInitialHostLookup = true // this node and no other
	config.NumConns = 1
	config.ConnectTimeout = connectTimeout
	config.Timeout = answerTimeout
	config.Authenticator = who
	config.HostDialer = dialer{ctx: ctx, tls: &tls.Config{RootCAs: c.CAPool(), MinVersion: tls.VersionTLS12}}
	config.Logger = silent{}
	session, err := config.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNoConnection, node.Name, err)
	}
	return session, nil
}

// dialer bounds the TLS handshake: with the driver's own, a paused node holds its caller for ever.
type dialer struct {
	ctx context.Context // of the call, whose connection this is
	tls *tls.Config
}

func (d dialer) DialHost(_ context.Context, host *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(d.ctx, connectTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: d.tls}).DialContext(ctx, "tcp", host.ConnectAddressAndPort())
	if err != nil {
		return nil, err
	}
	return &gocql.DialedHost{Conn: conn, DisableCoalesce: true}, nil
}

// answers waits until n answers a query.
func (c *Cluster) answers(ctx context.Context, n *Node) error {
	return c.until(ctx, n, func() error {
		_, err := c.CQLAt(ctx, n, "ONE", "SELECT key FROM system.local")
		return err
	})
}

// until tries again until it works, or n's process ends.
func (c *Cluster) until(ctx context.Context, n *Node, try func() error) error {
	var last error
	err := poll(ctx, pollInterval, func() (bool, error) {
		if err := n.running(ctx); err != nil {
			return false, err
		}
		last = try()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s answers CQL: %w", n.Name, errors.Join(err, last))
	}
	return nil
}

func read(rows *gocql.Iter) (string, error) {
	columns := rows.Columns()
	cells := make([]cell, len(columns))
	into := make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	var text strings.Builder
	for rows.Scan(into...) {
		for i, column := range columns {
			if i > 0 {
				text.WriteByte('\t')
			}
			fmt.Fprintf(&text, "%s=%s", column.Name, cells[i])
		}
		text.WriteByte('\n')
	}
	return text.String(), rows.Close()
}

// cell is a value of any type as text.
type cell string

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *cell) UnmarshalCQL(info gocql.TypeInfo, data []byte) error {
	if data == nil {
		*c = "null"
		return nil
	}
	value, err := info.NewWithError()
	if err != nil {
		return err
	}
	if err := gocql.Unmarshal(info, data, value); err != nil {
		return err
	}
	format := "%v"
	if info.Type() == gocql.TypeBlob {
		format = "%#x"
	}
	*c = cell(fmt.Sprintf(format, reflect.ValueOf(value).Elem()))
	return nil
}

// silent keeps the driver from writing to standard error what its callers get as an error anyway.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
