package main

import (
	"context"
	"errors"
	"testing"
)

func TestFaults_HaveUniqueNamesAndDescriptions(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range append(faults(), mutantFaults()...) {
		nothing := f.begin == nil && f.repeat == nil
		if f.name == "" || f.description == "" || f.expect == "" || nothing && f.name != "none" || seen[f.name] {
			t.Errorf("fault %q is incomplete, or its name is used twice", f.name)
		}
		seen[f.name] = true
	}
	if len(faults()) < 56 {
		t.Errorf("%d faults; a fault is missing", len(faults()))
	}
}

func TestSequence_StopsAtTheFirstError(t *testing.T) {
	calls := 0
	failed := errors.New("failed")
	ok := func(context.Context, *run) error { calls++; return nil }
	fail := func(context.Context, *run) error { calls++; return failed }
	if err := sequence(ok, fail, ok)(context.Background(), nil); !errors.Is(err, failed) || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
