package cassandra

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/store/cassandra/coordinator"
)

// adminTimeout replaces Config.Timeout in an Admin: a schema change takes longer than other statements.
const adminTimeout = 20 * time.Second

// maxAdminSends is how many requests one statement of an Admin may send, for instance to get all pages of a result.
const maxAdminSends = 1000

// Admin runs statements that describe or change the schema. It implements schema.DB.
//
// Admin takes no access.Caller, because it is for operators who have Cassandra's own credentials. The service must not
// use it to read a collection.
type Admin struct {
	driver *gocql.Session
	runner *coordinator.Runner // knows which nodes are up
}

// OpenAdmin connects without a keyspace, so that the keyspace need not exist. c.Keyspace and c.Timeout are ignored.
// ctx is only checked at the beginning. The error wraps ErrCannotLogIn if another attempt cannot help.
func OpenAdmin(ctx context.Context, c Config, log *slog.Logger) (*Admin, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.Timeout = adminTimeout
	l := newLogin(c, newPasswordRefused(), log, time.Now)
	d := driverConfig(c, l, log)
	d.Consistency = gocql.LocalOne             // every node has the system tables
	d.MaxWaitSchemaAgreement = time.Nanosecond // the driver would wait a minute for nodes that are down
	runner := coordinator.NewRunner(time.Now, coordinator.NewMetrics(prometheus.NewRegistry()), c.Panics)
	d.PoolConfig.HostSelectionPolicy = sameHost{runner.HostPolicy()}
	d.ConvictionPolicy = runner.ConvictionPolicy()
	session, err := d.CreateSession()
	if err != nil {
		return nil, connectError(c, l, err)
	}
	return &Admin{session, runner}, nil
}

// Close closes the connection. It returns after at most 3 s.
func (a *Admin) Close() { closeDriver(a.driver, nil) }

// Query runs one statement at LOCAL_ONE and returns its rows by column name. args are the values to bind. All statements
// run on the same node as long as it is up. A statement that changes the schema does not wait for other nodes.
func (a *Admin) Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error) {
	return queryMaps(a.driver.Query(cql, args...).WithContext(coordinator.LimitSends(ctx, maxAdminSends)))
}

// Nodes returns the IP addresses of the local nodes that are up, sorted as text.
func (a *Admin) Nodes() []string { return a.runner.Addresses() }

// QueryNode is Query on the node with this address, and on no other.
func (a *Admin) QueryNode(ctx context.Context, address, cql string, args ...any) ([]map[string]any, error) {
	return queryNode(ctx, a.driver, a.runner, address, cql, args)
}

// queryNode runs a query at ONE on the node with this address, and on no other. It returns its rows by column name.
func queryNode(ctx context.Context, driver *gocql.Session, r *coordinator.Runner, address, cql string, args []any) ([]map[string]any, error) {
	ctx, err := r.WithNode(ctx, address)
	if err != nil {
		return nil, err
	}
	return queryMaps(driver.Query(cql, args...).WithContext(ctx).Consistency(gocql.One))
}

// queryMaps runs a query and returns its rows by column name.
func queryMaps(q *gocql.Query) ([]map[string]any, error) {
	rows, err := q.Iter().SliceMap()
	if err != nil {
		return nil, fmt.Errorf("running a Cassandra statement: %w", err)
	}
	return rows, nil
}

// sameHost picks the same host for all statements, as long as the host is up. So a statement sees the schema changes of the
// statements before it, and system.local and system.peers, which differ from node to node, come from one node.
type sameHost struct{ gocql.HostSelectionPolicy }

// Pick implements gocql.HostSelectionPolicy. It sorts the hosts that are up by their addresses.
func (p sameHost) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	var hosts []gocql.SelectedHost
	next := p.HostSelectionPolicy.Pick(q)
	for h := next(); h != nil; h = next() {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b gocql.SelectedHost) int {
		return strings.Compare(a.Info().ConnectAddressAndPort(), b.Info().ConnectAddressAndPort())
	})
	return func() gocql.SelectedHost {
		if len(hosts) == 0 {
			return nil
		}
		first := hosts[0]
		hosts = hosts[1:]
		return first
	}
}
