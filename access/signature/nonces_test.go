package signature

import (
	"errors"
	"fmt"
	"testing"
)

func TestNonces_RemembersWhileSignatureIsValid(t *testing.T) {
	n := nonces{limit: 10}
	use := func(now int64, key, nonce string, until int64, want error) {
		t.Helper()
		if err := n.use(now, key, nonce, until); !errors.Is(err, want) {
			t.Errorf("at %d, %s %s until %d: %v, want %v", now, key, nonce, until, err, want)
		}
	}
	use(100, "a", "1", 160, nil)
	use(100, "a", "1", 160, ErrReplayed)
	use(100, "a", "1", 150, ErrReplayed) // the same nonce, signed at another time
	use(100, "a", "2", 220, nil)
	use(100, "b", "1", 160, nil) // keys do not share nonces
	use(160, "a", "1", 160, ErrReplayed)
	use(161, "a", "1", 221, nil) // the first signature is stale
	use(161, "a", "2", 220, ErrReplayed)
	// The clock is set back. Nonces that may be forgotten are rejected.
	use(100, "b", "1", 160, ErrStale)
	use(100, "b", "3", 161, nil)
	use(221, "a", "2", 281, nil)
	if _, left := n.byKey["b"]; left {
		t.Error("a key without nonces uses memory")
	}
}

func TestNonces_FullKeyDoesNotAffectOthers(t *testing.T) {
	n := nonces{limit: 3}
	for i := range 3 {
		if err := n.use(100, "a", fmt.Sprint(i), 160); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		if err := n.use(100, "a", fmt.Sprint("more", i), 160); !errors.Is(err, ErrNoncesFull) {
			t.Errorf("beyond the limit: %v", err)
		}
	}
	if err := n.use(100, "a", "0", 160); !errors.Is(err, ErrReplayed) {
		t.Errorf("replay at the limit: %v", err)
	}
	if err := n.use(100, "b", "0", 160); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := n.use(161, "a", "new", 221); err != nil {
		t.Errorf("after the nonces are forgotten: %v", err)
	}
	if got := len(n.byKey["a"].seen); got != 1 {
		t.Errorf("%d nonces are remembered", got)
	}
	if errors.Is(ErrNoncesFull, ErrRefused) || errors.Is(ErrNoncesFull, ErrMalformed) {
		t.Error("ErrNoncesFull is an ErrRefused or ErrMalformed")
	}
}
