//go:build integration

package schema_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/clockskew"
	"userinfo/store/storetest"
)

// Names of this test's roles. They are not those that testcluster makes.
const (
	grantedRole  = "sessionstore"
	grantedAdmin = "sessionstore_admin"
)

// roleTest is a node with CassandraAuthorizer and the roles that Roles prints.
type roleTest struct {
	*testing.T
	cluster *testcluster.Cluster
	spec    schema.Spec
}

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// TestRoles_OnCassandra checks that the roles can do what the service and schema apply do, and nothing else.
func TestRoles_OnCassandra(t *testing.T) {
	options := testcluster.OneNode()
	options.Authorizer = true
	options.YAML = "drop_truncate_table_enabled: false\n"
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cluster, err := testcluster.Start(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r := &roleTest{t, cluster, schema.Spec{
		Keyspace: "granted", Replication: map[string]int{"dc1": 1}, LocalDatacentre: "dc1",
		Tables: []schema.Table{
			{Name: storetest.TableName, Layout: store.LayoutUserInfo, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
			{Name: storetest.KaskTableName, Layout: store.LayoutKask, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
		},
	}}
	r.asSuperuser(print(t, r.spec))
	for range 2 { // everything may run again
		r.asSuperuser(roles(t, r.spec, grantedRole))
	}
	r.asSuperuser("CREATE KEYSPACE other WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}; CREATE TABLE other.sessions (key blob PRIMARY KEY, value blob)")
	for _, role := range []string{grantedRole, grantedAdmin} {
		if db, err := cassandra.OpenAdmin(ctx, r.config(role), slog.New(slog.DiscardHandler)); err == nil {
			db.Close()
			t.Errorf("%s can log in, but has no password", role)
		}
		r.asSuperuser("ALTER ROLE " + role + " WITH PASSWORD = '" + cluster.Password() + "'")
	}
	t.Run("the store works", func(t *testing.T) { (&roleTest{t, cluster, r.spec}).useStore() })
	t.Run("the service's role can do nothing else", func(t *testing.T) { (&roleTest{t, cluster, r.spec}).refuseService() })
	t.Run("schema apply works, and its role reads no value", func(t *testing.T) { (&roleTest{t, cluster, r.spec}).applyAsAdmin() })
}

// asSuperuser runs CQL as cqlsh does: without comments, statement by statement.
func (r *roleTest) asSuperuser(text string) {
	r.Helper()
	text = regexp.MustCompile(`(?m)^\s*--.*$`).ReplaceAllString(text, "")
	for _, statement := range strings.Split(text, ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := r.cluster.CQL(r.Context(), r.cluster.Nodes("")[0], statement); err != nil {
			r.Fatalf("%s: %v", statement, err)
		}
	}
}

// config returns the settings of a connection.
func (r *roleTest) config(role string) cassandra.Config {
	return cassandra.Config{
		Hosts: r.cluster.Hosts("dc1"), Port: testcluster.Port, Keyspace: r.spec.Keyspace, LocalDatacentre: "dc1",
		Credentials: func() (string, []byte, error) { return role, []byte(r.cluster.Password()), nil },
		TLS:         func() *tls.Config { return &tls.Config{RootCAs: r.cluster.CAPool(), MinVersion: tls.VersionTLS12} },
		Timeout:     10 * time.Second,
	}
}

// open connects as a role. Nodes remember for about two seconds that a role had no password.
func (r *roleTest) open(role string) *cassandra.Admin {
	r.Helper()
	var db *cassandra.Admin
	r.await("log in as "+role, func() (err error) {
		db, err = cassandra.OpenAdmin(r.Context(), r.config(role), slog.New(slog.DiscardHandler))
		return err
	})
	r.Cleanup(db.Close)
	return db
}

// await repeats do until it succeeds.
func (r *roleTest) await(what string, do func() error) {
	r.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("%s: %v", what, err)
		}
	}
}

// useStore runs the suite of the store, on all tables that it has, as the service's role.
func (r *roleTest) useStore() {
	if found := check(r.T, r.open(grantedRole), r.spec); found.texts != nil {
		r.Errorf("Check returns %q", found.texts)
	}
	session, err := cassandra.Open(r.Context(), r.config(grantedRole), cassandra.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(session.Close)
	open := func(c store.CollectionConfig) storetest.Table { return session.Table(c) }
	r.Run("pending deletes", func(t *testing.T) { storetest.RunPendingDeletes(t, open) })
	storetest.Run(r.T, open)
	clocks := session.ClockTable()
	if err := clocks.WriteHeartbeat(r.Context(), clockskew.Heartbeat{Instance: "a", Datacentre: "dc1"}, time.Now().UnixMicro(), time.Minute); err != nil {
		r.Error(err)
	}
	if all, err := clocks.Heartbeats(r.Context()); err != nil || len(all) != 1 {
		r.Errorf("heartbeats: %v, %v", all, err)
	}
}

// Codes of Cassandra's refusals.
const (
	unauthorized = 0x2100
	invalid      = 0x2200 // the code of a statement that a guardrail refuses
)

// wantRefused checks that Cassandra refuses each statement with a code. Nodes remember permissions for about two seconds.
func (r *roleTest) wantRefused(db schema.DB, code int, statements ...string) {
	r.Helper()
	for _, statement := range statements {
		r.await(statement+" is refused", func() error {
			_, err := db.Query(r.Context(), statement)
			var refusal interface{ Code() int }
			switch {
			case err == nil:
				return errors.New("it is allowed")
			case !errors.As(err, &refusal) || refusal.Code() != code:
				return err
			}
			return nil
		})
	}
}

func (r *roleTest) refuseService() {
	db := r.open(grantedRole)
	r.wantRefused(db, unauthorized,
		"SELECT value FROM other.sessions",
		"UPDATE other.sessions SET value = 0x01 WHERE key = 0x01",
		"TRUNCATE other.sessions",
		"DROP TABLE granted.sessions",
		"DROP KEYSPACE granted",
		"ALTER TABLE granted.sessions WITH gc_grace_seconds = 1",
		"ALTER TABLE granted.sessions ADD more text",
		"ALTER KEYSPACE granted WITH durable_writes = false",
		"CREATE TABLE granted.more (key blob PRIMARY KEY)",
		"CREATE INDEX more ON granted.sessions (value)",
		"CREATE TYPE granted.more (a int)",
		"CREATE KEYSPACE more WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"SELECT role, salted_hash FROM system_auth.roles",
		"LIST ALL PERMISSIONS",
		"LIST ROLES OF "+grantedAdmin,
		"CREATE ROLE intruder",
		"ALTER ROLE "+grantedAdmin+" WITH PASSWORD = 'x'",
		"ALTER ROLE "+grantedRole+" WITH SUPERUSER = true",
		"DROP ROLE "+grantedAdmin,
		"GRANT "+grantedAdmin+" TO "+grantedRole,
		"GRANT ALTER ON KEYSPACE granted TO "+grantedRole,
		"REVOKE ALL PERMISSIONS ON KEYSPACE granted FROM "+grantedAdmin,
	)
	// MODIFY includes TRUNCATE, so only the guardrail refuses it.
	r.wantRefused(db, invalid, "TRUNCATE granted.sessions", "TRUNCATE granted.kask")
	rows := run(r.T, db, "LIST ROLES") // lists the roles of the one who asks
	if len(rows) != 1 || rows[0]["role"] != grantedRole {
		r.Errorf("LIST ROLES as the service returns %v", rows)
	}
}

func (r *roleTest) applyAsAdmin() {
	db := r.open(grantedAdmin)
	s := r.spec
	s.Tables = append(s.Tables, schema.Table{Name: "added", Layout: store.LayoutUserInfo, MaxTTL: day, Fence: time.Minute})
	applyCleanly(r.T, db, s)
	r.asSuperuser(roles(r.T, s, grantedRole)) // takes back what Cassandra gave to the role that created the table
	r.wantRefused(db, unauthorized,
		"SELECT value FROM granted.sessions",
		"SELECT value FROM granted.added",
		"UPDATE granted.added SET value = 0x01 WHERE key = 0x01",
		"DROP TABLE granted.added",
		"DROP KEYSPACE granted",
		"CREATE KEYSPACE more WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"GRANT SELECT ON granted.added TO "+grantedAdmin,
		"CREATE ROLE intruder",
	)
	service := r.open(grantedRole)
	r.await("the service reads the table that was added", func() error {
		_, err := service.Query(r.Context(), "SELECT value FROM granted.added WHERE key = 0x01")
		return err
	})
}
