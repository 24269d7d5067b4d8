package main

import (
	"strings"
	"testing"
	"time"

	"userinfo/schema"
)

var applyEvents = func() []schema.Event {
	table := schema.Difference{Object: "table userinfo.sessions", Want: "a table", Have: "none", Remedy: "apply"}
	at := func(kind schema.EventKind, took time.Duration, nodes ...string) schema.Event {
		return schema.Event{Kind: kind, Difference: table, Statement: "CREATE TABLE ...", Took: took, Nodes: nodes}
	}
	return []schema.Event{
		{Kind: schema.Warned, Difference: schema.Difference{Object: "o", Want: "w", Have: "h", Remedy: "r"}},
		at(schema.Changing, 0),
		at(schema.Waiting, 200*time.Millisecond, "10.1.0.2 (dc1)", "10.2.0.1 (dc2)"),
		at(schema.Waiting, 1200*time.Millisecond, "10.2.0.1 (dc2)"),
		at(schema.Waiting, 2200*time.Millisecond, "10.2.0.1 (dc2)"),
		at(schema.Changed, 3210*time.Millisecond),
		{Kind: schema.Missing, Nodes: []string{"10.2.0.1 (dc2), which is down"}},
	}
}()

func TestProgress_PrintsNewStatesAsLines(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out)
	for _, e := range applyEvents {
		p.tell(e)
	}
	const want = `warning: o: want w, have h; r
table userinfo.sessions: changing
  CREATE TABLE ...
table userinfo.sessions: changed, waiting for 10.1.0.2 (dc1), 10.2.0.1 (dc2)
table userinfo.sessions: changed, waiting for 10.2.0.1 (dc2)
table userinfo.sessions: done in 3.2s
not yet: 10.2.0.1 (dc2), which is down
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", &out, want)
	}
}

func TestProgress_RewritesLineOfTerminal(t *testing.T) {
	var out strings.Builder
	p := &progress{out: &out, terminal: true}
	for _, e := range applyEvents {
		p.tell(e)
	}
	const again = "\r\x1b[K"
	want := "warning: o: want w, have h; r\n" + again + "table userinfo.sessions: changing (0s)" +
		again + "table userinfo.sessions: changed, waiting for 10.1.0.2 (dc1), 10.2.0.1 (dc2) (0s)" +
		again + "table userinfo.sessions: changed, waiting for 10.2.0.1 (dc2) (1s)" +
		again + "table userinfo.sessions: changed, waiting for 10.2.0.1 (dc2) (2s)" +
		again + "table userinfo.sessions: done in 3.2s\nnot yet: 10.2.0.1 (dc2), which is down\n"
	if out.String() != want {
		t.Errorf("printed\n%q\nwant\n%q", out.String(), want)
	}
}
