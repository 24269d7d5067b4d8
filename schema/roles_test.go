package schema_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
	"userinfo/store"
)

// grantStatement matches a statement that gives a permission: the permission, the resource, and the role.
var grantStatement = regexp.MustCompile(`(?m)^GRANT (\w+) ON (.+) TO "(\w+)";$`)

func roles(t *testing.T, s schema.Spec, role string) string {
	t.Helper()
	text, err := schema.Roles(s, role)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRoles_MatchTestdata(t *testing.T) {
	s := twoTables()
	s.Tables = append(s.Tables, schema.Table{Name: "kask", Layout: store.LayoutKask, MaxTTL: day, Fence: time.Minute})
	have := roles(t, s, "userinfo")
	const file = "testdata/roles.cql"
	if *update {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("Roles differs from %s (go test ./schema -update writes it):\n%s", file, have)
	}
}

// TestRoles_GrantWhatTablesNeedOnly compares the grants with the tables that Print creates.
func TestRoles_GrantWhatTablesNeedOnly(t *testing.T) {
	want := map[string]bool{
		"userinfo SELECT TABLE system_views.settings": true, "userinfo_admin SELECT TABLE system_views.settings": true,
		"userinfo_admin SELECT TABLE system_views.gossip_info": true,
		`userinfo_admin CREATE KEYSPACE "people"`:              true, `userinfo_admin ALTER KEYSPACE "people"`: true,
	}
	for _, table := range regexp.MustCompile(`(?m)^CREATE TABLE IF NOT EXISTS (\S+)`).FindAllStringSubmatch(print(t, twoTables()), -1) {
		want["userinfo SELECT TABLE "+table[1]], want["userinfo MODIFY TABLE "+table[1]] = true, true
	}
	if len(want) != 15 {
		t.Fatalf("found %d grants that are needed: %v", len(want), want)
	}
	text := roles(t, twoTables(), "userinfo")
	for _, m := range grantStatement.FindAllStringSubmatch(text, -1) {
		grant := m[3] + " " + m[1] + " " + m[2]
		if !want[grant] {
			t.Errorf("the grant %s is not needed", grant)
		}
		delete(want, grant)
	}
	if len(want) > 0 {
		t.Errorf("grants are missing: %v", want)
	}
	if m := regexp.MustCompile(`(?m)^[^-].*(PASSWORD|SUPERUSER = true|ALL KEYSPACES)`).FindString(text); m != "" {
		t.Errorf("the roles have %s", m)
	}
}

func TestRoles_RefuseOtherNames(t *testing.T) {
	for _, name := range []string{"", "cassandra", `a"; DROP KEYSPACE b; --`, "a\nb", "a b", "ä", strings.Repeat("a", 65)} {
		if text, err := schema.Roles(twoTables(), name); err == nil || text != "" {
			t.Errorf("role %q: %q, %v", name, text, err)
		}
	}
	s := twoTables()
	s.Keyspace = "system"
	if text, err := schema.Roles(s, "userinfo"); err == nil || text != "" {
		t.Errorf("Cassandra's own keyspace: %q, %v", text, err)
	}
}
