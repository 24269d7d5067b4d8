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

// nodeLocal is Cassandra's consistency level NODE_LOCAL. The driver has no constant for it.
const nodeLocal = gocql.Consistency(0x0B)

const (
	connectTimeout = 5 * time.Second
	// queryTimeout is longer than any of Cassandra's own timeouts, so that the caller gets Cassandra's error.
	queryTimeout = 15 * time.Second
)

// CQL runs a statement on one node, as a superuser and at LOCAL_QUORUM. It returns one line for each row. A line consists of
// "column=value" in the order of the statement, separated by tabs. A blob is written in hexadecimal as 0x…, a missing
// value as null. Every call opens a connection, so CQL is for setup and inspection, not for load.
func (c *Cluster) CQL(ctx context.Context, node *Node, statement string) (string, error) {
	return c.CQLAt(ctx, node, "LOCAL_QUORUM", statement)
}

// CQLAt runs a statement as CQL does, at another consistency level, which is given by Cassandra's name. At NODE_LOCAL
// (SELECT only) the node reads its own replica only and does no read repair. If the node accepts no connection within
// 5 s, CQLAt returns ErrNoConnection.
func (c *Cluster) CQLAt(ctx context.Context, node *Node, consistency, statement string) (string, error) {
	return c.query(ctx, gocql.PasswordAuthenticator{Username: operator, Password: c.password}, node, consistency, statement)
}

// PendingHints returns the ids and addresses of the nodes for which n has hints on its disk, that is, writes that they
// have missed. It leaves out nodes that have left the ring. It does not see hints of the last hints_flush_period.
func (n *Node) PendingHints(ctx context.Context) (string, error) {
	rows, err := n.cluster.CQLAt(ctx, n, "ONE", "SELECT host_id, address FROM system_views.pending_hints")
	return withoutGone(rows), err
}

// withoutGone leaves out the rows whose last column, the address, is null.
func withoutGone(rows string) (kept string) {
	for line := range strings.Lines(rows) {
		if !strings.HasSuffix(line, "\taddress=null\n") {
			kept += line
		}
	}
	return kept
}

// BackgroundTasks returns what n does with its tables in the background, such as compaction. It returns an empty string
// if n does nothing.
func (n *Node) BackgroundTasks(ctx context.Context) (string, error) {
	return n.cluster.CQLAt(ctx, n, "ONE", "SELECT kind FROM system_views.sstable_tasks")
}

func (c *Cluster) query(ctx context.Context, who gocql.PasswordAuthenticator, node *Node, consistency, statement string) (string, error) {
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
	defer func() { go session.Close() }() // with gocql v1.7.0, Close can block forever (gocql issue 1752)
	rows, err := formatRows(session.Query(statement).Consistency(level).WithContext(ctx).Iter())
	if err != nil {
		return "", fmt.Errorf("querying node %s at %s: %w", node.Name, consistency, err)
	}
	return rows, nil
}

// ErrNoConnection is the error of CQL and CQLAt if the node accepts no CQL connection.
var ErrNoConnection = errors.New("the node accepts no CQL connection")

func (c *Cluster) connect(ctx context.Context, who gocql.PasswordAuthenticator, node *Node) (*gocql.Session, error) {
	config := gocql.NewCluster(node.Address)
	config.Port = Port
	config.ProtoVersion = 4
	config.DisableInitialHostLookup = true // connect to this node only
	config.NumConns = 1
	config.ConnectTimeout = connectTimeout
	config.Timeout = queryTimeout
	config.Authenticator = who
	config.HostDialer = dialer{ctx: ctx, tls: &tls.Config{RootCAs: c.CAPool(), MinVersion: tls.VersionTLS12}}
	config.Logger = discardLogger{}
	session, err := config.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNoConnection, node.Name, err)
	}
	return session, nil
}

// dialer dials with a time limit for the TLS handshake. The driver's own dialer would wait for a paused node forever.
type dialer struct {
	ctx context.Context // of the call that needs the connection
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

// waitCQL waits until n answers a query.
func (c *Cluster) waitCQL(ctx context.Context, n *Node) error {
	return c.retry(ctx, n, func() error {
		_, err := c.CQLAt(ctx, n, "ONE", "SELECT key FROM system.local")
		return err
	})
}

// retry calls query until it succeeds. It gives up when n's process has ended.
func (c *Cluster) retry(ctx context.Context, n *Node, query func() error) error {
	var last error
	err := poll(ctx, pollInterval, func() (bool, error) {
		if err := n.checkRunning(ctx); err != nil {
			return false, err
		}
		last = query()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s answers CQL: %w", n.Name, errors.Join(err, last))
	}
	return nil
}

// formatRows returns the text that CQL describes.
func formatRows(rows *gocql.Iter) (string, error) {
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

// cell is a value of any CQL type, as text.
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

// discardLogger discards the driver's log. Callers get the same information as errors.
type discardLogger struct{}

func (discardLogger) Print(...any)          {}
func (discardLogger) Printf(string, ...any) {}
func (discardLogger) Println(...any)        {}
