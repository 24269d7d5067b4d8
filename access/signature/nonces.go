package signature

import (
	"crypto/sha256"
	"sync"
)

// nonces remembers the nonces of signatures until the signatures are too old. It is safe for concurrent use.
//
// After it has forgotten the nonces up to a second, it accepts no signature that was valid until that second, even if the clock
// is set back. So if the clock was ahead and is set back, requests are rejected until the clock reaches the old time again, or
// until a restart.
type nonces struct {
	limit int // nonces for each key

	mu    sync.Mutex // guards the fields below
	swept int64      // the last second whose nonces are forgotten
	byKey map[string]*keyNonces
}

// keyNonces are the nonces of one key.
type keyNonces struct {
	seen  map[nonceID]struct{}
	until map[int64][]nonceID // by the last second in which the signature is valid
}

// nonceID is the first half of the SHA-256 of a nonce, so that long nonces take no more memory than short ones.
type nonceID [16]byte

// use decides whether a nonce is new, and remembers it until the end of a second. It fails closed: it returns ErrReplayed for a
// remembered nonce, ErrStale for a nonce that may already be forgotten and ErrNoncesFull if the key has too many nonces.
func (n *nonces) use(now int64, keyID, nonce string, until int64) error {
	sum := sha256.Sum256([]byte(nonce))
	id := nonceID(sum[:])
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sweep(now - 1)
	if until <= n.swept {
		return ErrStale
	}
	k := n.byKey[keyID]
	if k == nil {
		k = &keyNonces{seen: make(map[nonceID]struct{}), until: make(map[int64][]nonceID)}
		if n.byKey == nil {
			n.byKey = make(map[string]*keyNonces)
		}
		n.byKey[keyID] = k
	}
	if _, used := k.seen[id]; used {
		return ErrReplayed
	}
	if len(k.seen) >= n.limit {
		return ErrNoncesFull
	}
	k.seen[id] = struct{}{}
	k.until[until] = append(k.until[until], id)
	return nil
}

// sweep forgets the nonces of signatures that were valid until second or earlier. A key has at most one list for each second of
// two windows.
func (n *nonces) sweep(second int64) {
	if second <= n.swept {
		return
	}
	n.swept = second
	for keyID, k := range n.byKey {
		for until, ids := range k.until {
			if until > second {
				continue
			}
			for _, id := range ids {
				delete(k.seen, id)
			}
			delete(k.until, until)
		}
		if len(k.seen) == 0 {
			delete(n.byKey, keyID) // frees the maps, which never shrink
		}
	}
}
