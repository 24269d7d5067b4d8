package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
	"userinfo/store"
)

func TestCollection_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"two collections of one name", sessions, sessions + "\n  - {name: sessions, path: /x, table: x}", `u.yaml:11: collections[1].name: another collection has "sessions" already`},
		{"two collections with one path", sessions, sessions + "\n  - {name: b, path: /sessions/v1}", `u.yaml:11: collections[1].path: another collection has "/sessions/v1" already`},
		{"one path below another", sessions, sessions + "\n  - {name: b, path: /sessions/v1/b}", `u.yaml:11: collections[1].path: "/sessions/v1/b" is below "/sessions/v1"`},
		{"two collections in one table", sessions, sessions + "\n  - {name: b, table: sessions}", `u.yaml:11: collections[1].table: another collection has "sessions" already`},
		{"table that needs quotes", sessions, sessions + "\n    table: a-b", "u.yaml:11: collections[0].table: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters"},
		{"table of the pending deletes", sessions, sessions + "\n    table: pending_deletes", `u.yaml:11: collections[0].table: "pending_deletes" is one of the service's own tables`},
		{"table of the clocks", sessions, sessions + "\n    table: instance_clocks", `u.yaml:11: collections[0].table: "instance_clocks" is one of the service's own tables`},
		{"path without a slash", sessions, sessions + "\n    path: x", "u.yaml:11: collections[0].path: must begin with /"},
		{"path that ends with a slash", sessions, sessions + "\n    path: /x/", "u.yaml:11: collections[0].path: must begin with /"},
		{"path with a parameter", sessions, sessions + "\n    path: /:x", "u.yaml:11: collections[0].path: must begin with /"},
		{"path with a double slash", sessions, sessions + "\n    path: /x//y", "u.yaml:11: collections[0].path: must begin with /"},
		{"path of the operators", sessions, sessions + "\n    path: /operators/v1", "u.yaml:11: collections[0].path: /operators is reserved"},
		{"path above the operators", sessions, sessions + "\n    path: /operators", "u.yaml:11: collections[0].path: /operators is reserved"},
		{"unknown layout", sessions, sessions + "\n    layout: redis", "u.yaml:11: collections[0].layout: must be userinfo or kask"},
		{"reads through its own table", sessions, sessions + "\n    read_through: sessions", `u.yaml:11: collections[0].read_through: "sessions" is the table of a collection already; deletes must reach both tables`},
		{"reads through another collection's table", sessions, sessions + "\n    read_through: stash\n  - {name: b, table: stash}", `u.yaml:12: collections[1].table: another collection has "stash" already`},
		{"two collections read through one table", sessions, sessions + "\n    read_through: stash\n  - {name: b, read_through: stash}", `u.yaml:12: collections[1].read_through: "stash" is the table of a collection already`},
		{"reads through a table that needs quotes", sessions, sessions + "\n    read_through: a-b", "u.yaml:11: collections[0].read_through: must be a table that is not one of the service's own, of a-z, 0-9 and _"},
		{"reads through a table of the service", sessions, sessions + "\n    read_through: instance_clocks", "u.yaml:11: collections[0].read_through: must be a table that is not one of the service's own"},
		{"default TTL above the largest", sessions, sessions + "\n    max_ttl: 1h", "u.yaml:10: collections[0].default_ttl: must not be longer than max_ttl (1h0m0s)"},
		{"TTL of less than a second", sessions, sessions + "\n    max_ttl: 24h\n    default_ttl: 1ms", "u.yaml:12: collections[0].default_ttl: must be whole seconds"},
		{"TTL of a part of a second", sessions, sessions + "\n    max_ttl: 24h0m0.5s", "u.yaml:11: collections[0].max_ttl: must be whole seconds"},
		{"TTL beyond Cassandra's", sessions, sessions + "\n    max_ttl: 175201h", "u.yaml:11: collections[0].max_ttl: must be whole seconds"},
		{"negative fence", sessions, sessions + "\n    fence: -1s", "u.yaml:11: collections[0].fence: must be whole seconds, from 0s (no fence) to 1h"},
		{"fence too long", sessions, sessions + "\n    fence: 61m", "u.yaml:11: collections[0].fence: must be whole seconds"},
		{"exempt pattern with a placeholder", sessions, sessions + "\n    fence_exempt: ['*:lock', '{cn}:*']", `u.yaml:11: collections[0].fence_exempt[1]: "{cn}:*" has a placeholder`},
		{"empty exempt pattern", sessions, sessions + "\n    fence_exempt: ['']", "u.yaml:11: collections[0].fence_exempt[0]: empty; write a key, or a pattern such as *:lock"},
		{"every key is exempt", sessions, sessions + "\n    fence_exempt: ['*']", "u.yaml:11: collections[0].fence_exempt[0]: exempts every key; if no key needs the logout fence, write fence: 0s instead"},
		{"exempt keys without a fence", sessions, sessions + "\n    fence: 0s\n    fence_exempt: ['*:lock']", "u.yaml:12: collections[0].fence_exempt: has no effect with fence: 0s"},
		{"not_before without a time", sessions, sessions + "\n    not_before: [{keys: ['enwiki:*']}]", "u.yaml:11: collections[0].not_before[0].time: must be a time such as 2026-11-29T06:00:00Z"},
		{"not_before with a wrong pattern", sessions, sessions + "\n    not_before: [{keys: [''], time: 2026-11-29T06:00:00Z}]", "u.yaml:11: collections[0].not_before[0].keys[0]: empty; write a key"},
		{"touch slack too large", sessions, sessions + "\n    touch_slack: 0.51", "u.yaml:11: collections[0].touch_slack: must be from 0 (every touch writes) to 0.5"},
		{"negative touch slack", sessions, sessions + "\n    touch_slack: -0.01", "u.yaml:11: collections[0].touch_slack: must be from 0"},
		{"touch slack NaN", sessions, sessions + "\n    touch_slack: .nan", "u.yaml:11: collections[0].touch_slack: must be from 0"},
		{"value too large", sessions, sessions + "\n    max_value_bytes: 16760833", "u.yaml:11: collections[0].max_value_bytes: must be from 1 to 16760832, the largest value that Cassandra stores"},
		{"negative size of values", sessions, sessions + "\n    max_value_bytes: -1", "u.yaml:11: collections[0].max_value_bytes: must be from 1"},
	})
}

func TestCollection_MistakeIsReportedBeforeItsConsequences(t *testing.T) {
	for _, test := range []mistake{
		{"no collections", "collections:\n  - name: sessions\n", "", "u.yaml:1: collections: missing"},
		{"collection without a name", sessions, "- path: /x", "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
		{"collection with the name of another resource", sessions, "- name: metrics", "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
		{"collection name too long", sessions, "- name: " + strings.Repeat("a", 49), "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
	} {
		t.Run(test.name, func(t *testing.T) { test.err(t) })
	}
}

func TestCollection_Beneath_HasTheOtherLayout(t *testing.T) {
	for _, c := range []struct {
		step string
		own  schema.Table
		want schema.Table
	}{
		{"layout: kask\n    table: values\n    read_through: sealed", schema.Table{Name: "values", Layout: store.LayoutKask}, schema.Table{Name: "sealed", Layout: store.LayoutUserInfo}},
		{"table: sealed\n    read_through: values", schema.Table{Name: "sealed", Layout: store.LayoutUserInfo}, schema.Table{Name: "values", Layout: store.LayoutKask, MustExist: true}},
	} {
		f, err := Parse("u.yaml", []byte(strings.Replace(minimal, sessions, sessions+"\n    fence: 30s\n    max_value_bytes: 5000\n    "+c.step, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []*schema.Table{&c.own, &c.want} {
			table.MaxTTL, table.Fence, table.MaxValueBytes = 24*time.Hour, 30*time.Second, 5000
		}
		if got := f.SchemaSpec().Tables; !reflect.DeepEqual(got, []schema.Table{c.own, c.want}) {
			t.Errorf("%s: the schema has %+v", c.step, got)
		}
		beneath, ok := f.Collections[0].Beneath()
		if !ok || beneath.Table != c.want.Name || beneath.Layout != c.want.Layout || beneath.Name != "sessions" || beneath.Fence != 30*time.Second {
			t.Errorf("%s: beneath is %+v, %v", c.step, beneath, ok)
		}
	}
	f, err := Parse("u.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if beneath, ok := f.Collections[0].Beneath(); ok {
		t.Errorf("without read_through, beneath is %+v", beneath)
	}
}
