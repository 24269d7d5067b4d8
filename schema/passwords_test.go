package schema_test

import (
	"strings"
	"testing"

	"userinfo/schema"
)

func TestSpec_NeedsTablesOfPasswordsOnlyIfConfigured(t *testing.T) {
	spec := twoTables()
	for _, passwords := range []bool{false, true} {
		spec.Passwords = passwords
		printed, err := schema.Print(spec)
		if err != nil {
			t.Fatal(err)
		}
		roles, err := schema.Roles(spec, "userinfo")
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{schema.UserPasswords, schema.PasswordGuesses} {
			if got := strings.Contains(printed, `"`+table+`" (`) && strings.Contains(roles, `GRANT MODIFY ON TABLE "`+spec.Keyspace+`"."`+table+`"`); got != passwords {
				t.Errorf("with passwords %v, the schema has %s: %v", passwords, table, got)
			}
			if !schema.Reserved(table) {
				t.Errorf("a collection may use the table %s", table)
			}
		}
	}
	spec.Tables = nil
	if err := spec.Validate(); err != nil {
		t.Errorf("passwords without collections: %v", err)
	}
}
