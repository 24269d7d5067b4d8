package schema_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
	"userinfo/store"
)

var update = flag.Bool("update", false, "write testdata/print.cql")

func print(t *testing.T, s schema.Spec) string {
	t.Helper()
	text, err := schema.Print(s)
	if err != nil {
		t.Fatalf("Print: %v", err)
	}
	return text
}

func TestPrint_MatchesTestdata(t *testing.T) {
	s := twoTables()
	s.Tables = append(s.Tables, schema.Table{Name: "kask", Layout: store.LayoutKask, MaxTTL: day, Fence: time.Minute})
	have := print(t, s)
	const file = "testdata/print.cql"
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
		t.Errorf("Print differs from %s (go test ./schema -update writes it):\n%s", file, have)
	}
}

func TestPrint_DoesNotCreateTableThatMustExist(t *testing.T) {
	s := twoTables()
	s.Tables[1].MustExist, s.Tables[1].Fence = true, time.Minute
	text := print(t, s)
	if strings.Contains(text, `EXISTS "people"."stash"`) || !strings.Contains(text, `--   ALTER TABLE "people"."stash" ADD gone boolean;`) {
		t.Errorf("Print returned\n%s", text)
	}
}

func TestPrint_CommentsOutKeyspaceWithoutReplication(t *testing.T) {
	s := twoTables()
	s.Replication = nil
	text, err := schema.Print(s)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "\n--   CREATE KEYSPACE") || strings.Contains(text, "\nCREATE KEYSPACE") || !strings.Contains(text, "\nCREATE TABLE") {
		t.Errorf("Print returned\n%s", text)
	}
}

// runScript runs CQL as cqlsh does: without comments, statement by statement.
func runScript(t *testing.T, f *fakeCassandra, text string) {
	t.Helper()
	text = regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(text, "")
	for _, statement := range strings.Split(text, ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		if statement == "" {
			continue
		}
		if _, err := f.Query(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestPrint_OutputCanRunTwiceAndSatisfiesApply(t *testing.T) {
	f := newFake(t)
	runScript(t, f, print(t, twoTables()))
	runScript(t, f, print(t, twoTables()))
	f.changes = nil
	applyFixes(t, f, twoTables(), 0)
}

// FuzzPrint_InjectsNoCQL checks that names which Validate accepts change nothing in the output except the names, and that
// Print rejects all other names.
func FuzzPrint_InjectsNoCQL(f *testing.F) {
	f.Add("people", "sessions", "dc1")
	f.Add("select", "values", "us-east_1.a")
	f.Add(`a"; DROP KEYSPACE b; --`, "a b", "it's")
	f.Add("a\n", "ä", "class")
	f.Add("{{.Table}}", "a--", "dc1'}--")
	f.Fuzz(func(t *testing.T, keyspace, table, datacentre string) {
		spec := func(keyspace, table, datacentre string) schema.Spec {
			return schema.Spec{
				Keyspace: keyspace, LocalDatacentre: datacentre, Replication: map[string]int{datacentre: 3},
				Tables: []schema.Table{{Name: table, Layout: store.LayoutUserInfo, MaxTTL: day}},
			}
		}
		s := spec(keyspace, table, datacentre)
		if s.Validate() != nil {
			if text, err := schema.Print(s); err == nil || text != "" {
				t.Fatalf("Validate rejects it, but Print returns %q, %v", text, err)
			}
			return
		}
		name := regexp.MustCompile(`\A[a-z][a-z0-9_]{0,47}\z`)
		if !name.MatchString(keyspace) || !name.MatchString(table) || !regexp.MustCompile(`\A[\w.-]{1,64}\z`).MatchString(datacentre) {
			t.Fatalf("Validate accepts %q, %q, %q", keyspace, table, datacentre)
		}
		want := strings.NewReplacer(`"kkkk"`, `"`+keyspace+`"`, `"tttt"`, `"`+table+`"`, `'dddd'`, `'`+datacentre+`'`).
			Replace(print(t, spec("kkkk", "tttt", "dddd")))
		if have := print(t, s); have != want {
			t.Fatalf("names change other parts of the output:\n%s", have)
		}
	})
}
