package main

import (
	"crypto/rand"
	"strings"
	"testing"
)

func TestKeyKinds_MakeDifferentKeysOfTheirKind(t *testing.T) {
	for _, kind := range keyKinds {
		first, err := kind.text(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		second, err := kind.text(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if prefix := "userinfo-" + kind.name + "-key-1:"; !strings.HasPrefix(first, prefix) || first == second {
			t.Errorf("%s: the keys do not begin with %s, or are equal", kind.name, prefix)
		}
	}
}

func TestKeyKinds_FailWithoutRandomness(t *testing.T) {
	for _, kind := range keyKinds {
		if text, err := kind.text(strings.NewReader("")); err == nil || text != "" {
			t.Errorf("%s: error %v", kind.name, err)
		}
	}
}
