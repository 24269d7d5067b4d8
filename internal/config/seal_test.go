package config

import (
	"strings"
	"testing"
)

func TestSeal_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"a sealed collection without keys", section("seal:", "audiences:"), "", "u.yaml:10: collections[0].layout: layout userinfo needs keys: set seal.index_key and seal.keys to files that `"},
		{"a sealed table beneath without keys", sessions + section("\nclients:", "audiences:"), sessions + "\n    layout: kask\n    read_through: sealed" + strings.TrimSuffix(section("\nclients:", "audiences:"), section("seal:", "audiences:")), "u.yaml:12: collections[0].read_through: the table to which the collection moves is sealed: set seal.index_key"},
		{"keys without a sealed collection", sessions, sessions + "\n    layout: kask", "u.yaml:18: seal: no collection has layout userinfo, so nothing would be sealed: remove seal"},
		{"no index key", "index_key: index.key, ", "", "u.yaml:17: seal.index_key: missing: name a file that `userinfo key new index` has made"},
		{"no seal keys", ", keys: [seal.key]", "", "u.yaml:17: seal.keys: missing: list files that `userinfo key new seal` has made; the first encrypts"},
		{"an empty list of seal keys", "keys: [seal.key]", "keys: []", "u.yaml:17: seal.keys: missing"},
	})
}
