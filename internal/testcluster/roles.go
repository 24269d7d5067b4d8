package testcluster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/gocql/gocql"
)

// operator is the superuser that CQL and CQLAt use.
const operator = "operator"

// defaultSuperuser is the superuser that Cassandra creates. It is used only to create the other roles, because its
// logins, unlike other logins, need a QUORUM of all datacentres.
var defaultSuperuser = gocql.PasswordAuthenticator{Username: "cassandra", Password: "cassandra"}

// createRoles replicates the roles to every node and creates the roles of this package. The first node has written the
// default superuser to itself only; reading it at ALL repairs the other replicas, as nodetool repair would. Cassandra
// refuses these statements while it sees a node join, so each is retried until it succeeds.
func (c *Cluster) createRoles(ctx context.Context, opts Options) error {
	replication := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, dc := range opts.Datacentres {
		replication = append(replication, fmt.Sprintf("'%s': %d", dc, opts.NodesPerDC))
	}
	steps := []step{
		{"ONE", "ALTER KEYSPACE system_auth WITH replication = {" + strings.Join(replication, ", ") + "}"},
		{"ALL", "SELECT * FROM system_auth.roles"},
		c.createRole(operator, true),
		c.createRole(Username, false),
		c.createRole(AdminUsername, false),
	}
	if opts.Authorizer {
		for _, grant := range []string{
			"CREATE ON ALL KEYSPACES TO " + AdminUsername,
			"ALTER ON ALL KEYSPACES TO " + AdminUsername,
			"SELECT ON system_views.settings TO " + AdminUsername,
			"SELECT ON system_views.gossip_info TO " + AdminUsername,
			"SELECT ON system_views.settings TO " + Username,
		} {
			steps = append(steps, step{"ALL", "GRANT " + grant})
		}
	}
	for _, s := range steps {
		err := c.retry(ctx, c.all()[0], func() error {
			_, err := c.query(ctx, defaultSuperuser, c.all()[0], s.consistency, s.statement)
			return err
		})
		if err != nil {
			return fmt.Errorf("creating the roles: %w", err)
		}
	}
	return nil
}

// step is one statement of createRoles.
type step struct{ consistency, statement string }

func (c *Cluster) createRole(name string, super bool) step {
	return step{"ALL", fmt.Sprintf("CREATE ROLE IF NOT EXISTS %s WITH PASSWORD = '%s' AND LOGIN = true AND SUPERUSER = %t", name, c.password, super)}
}

// GrantService lets Username read and write the tables of a keyspace, and nothing else of it. It may be called again.
// Without Options.Authorizer it does nothing.
func (c *Cluster) GrantService(ctx context.Context, keyspace string) error {
	if !c.opts.Authorizer {
		return nil
	}
	for _, permission := range []string{"SELECT", "MODIFY"} {
		statement := fmt.Sprintf("GRANT %s ON KEYSPACE %s TO %s", permission, keyspace, Username)
		if _, err := c.CQL(ctx, c.all()[0], statement); err != nil {
			return fmt.Errorf("granting the service its tables: %w", err)
		}
	}
	return nil
}

// ChangePassword gives Username and AdminUsername a new password and then writes it into PasswordFile. Nodes accept the
// old password for about two more seconds, because they cache it.
func (c *Cluster) ChangePassword(ctx context.Context, password string) error {
	for _, role := range []string{Username, AdminUsername} {
		if _, err := c.CQL(ctx, c.all()[0], fmt.Sprintf("ALTER ROLE %s WITH PASSWORD = '%s'", role, password)); err != nil {
			return fmt.Errorf("changing the password of role %s: %w", role, err)
		}
	}
	return os.WriteFile(c.PasswordFile(), []byte(password+"\n"), 0o600)
}
