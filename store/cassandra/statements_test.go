package cassandra

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestStatements_MarkerIsReadIfTableHasIt(t *testing.T) {
	with, without := newStatements("ks", "t", true), newStatements("ks", "t", false)
	if want := `SELECT value, TTL(value), WRITETIME(value), gone FROM "ks"."t" WHERE key = ?`; with.read != want {
		t.Errorf("got %s, want %s", with.read, want)
	}
	if strings.Contains(without.read, "gone") {
		t.Errorf("got %s for a table without a marker", without.read)
	}
}

func TestStatements_WritesHaveTimestampAndQuotedNames(t *testing.T) {
	s := reflect.ValueOf(newStatements("ks", "order", true))
	for i := range s.NumField() {
		cql := s.Field(i).String()
		if !regexp.MustCompile(` "ks"\."(order|pending_delete_segments|pending_delete_entries|pending_deletes)" `).MatchString(cql) {
			t.Errorf("a name is not quoted: %s", cql)
		}
		isRead := strings.HasPrefix(cql, "SELECT ")
		if isRead == strings.Contains(cql, "USING TIMESTAMP ?") {
			t.Errorf("a write needs a bound timestamp, a read must have none: %s", cql)
		}
		if strings.HasPrefix(cql, "INSERT") {
			t.Errorf("an INSERT leaves a row marker: %s", cql)
		}
	}
}
