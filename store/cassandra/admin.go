package cassandra

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gocql/gocql"

	"userinfo/store/cassandra/coordinator"
)

// adminTimeout replaces Config.Timeout in an Admin: after a schema change, all nodes have to agree.
const adminTimeout = 20 * time.Second

// maxAdminSends is how many requests one statement of an Admin may send, for instance to get all pages of a result.
const maxAdminSends = 1000

// Admin runs statements that describe or change the schema. It implements schema.DB.
//
// Admin takes no access.Caller, because it is for operators who have Cassandra's own credentials. The service must not
// use it to read a collection.
type Admin struct{ driver *gocql.Session }

// OpenAdmin connects without a keyspace, so that the keyspace need not exist. c.Keyspace and c.Timeout are ignored.
// ctx is only checked at the beginning. The error wraps ErrCannotLogIn if trying again does not help.
func OpenAdmin(ctx context.Context, c Config, log *slog.Logger) (*Admin, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.Timeout = adminTimeout
	l := newLogin(c, newPasswordRefused(), log, time.Now)
	d := driverConfig(c, l, log)
	d.Consistency = gocql.LocalOne // every node has the system tables
	session, err := d.CreateSession()
	if err != nil {
		return nil, connectError(c, l, err)
	}
	return &Admin{session}, nil
}

// Close closes the connection. It returns after at most 3 s.
func (a *Admin) Close() { closeDriver(a.driver) }

// Query runs one statement at LOCAL_ONE and returns its rows by column name. args are the values to bind. A statement
// that changes the schema returns when the nodes agree on the new schema.
func (a *Admin) Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error) {
	return queryMaps(a.driver.Query(cql, args...).WithContext(coordinator.LimitSends(ctx, maxAdminSends)))
}

// queryMaps runs a query and returns its rows by column name.
func queryMaps(q *gocql.Query) ([]map[string]any, error) {
	rows, err := q.Iter().SliceMap()
	if err != nil {
		return nil, fmt.Errorf("running a Cassandra statement: %w", err)
	}
	return rows, nil
}
