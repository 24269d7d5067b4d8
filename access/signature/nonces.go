package signature

import (
	"crypto/sha256"
	"sync"
)

// nonces remembers nonces for as long as the signatures that they came with would be good.
//
// It is the clock's only witness: once it has forgotten up to a second it takes nothing that was good until then, even
// if the clock is set back. (A clock that ran ahead and is set back thus refuses requests until it is there again, or
// until a restart.)
type nonces struct {
	limit int // of each key

	mu    sync.Mutex // guards all below
	swept int64      // the last second of which everything has been forgotten
	byKey map[string]*keyNonces
}

// keyNonces are one key's.
type keyNonces struct {
	seen  map[nonceID]struct{}
	until map[int64][]nonceID // by the last second in which the signature is good
}

// nonceID is a part of the SHA-256 of a nonce, so that long ones take no more memory.
type nonceID [16]byte

// use remembers a nonce until the end of a second. It fails closed: a nonce that is remembered is ErrReplayed, one that
// may have been forgotten is ErrStale, and where there is no room it is ErrNoncesFull.
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

// sweep forgets what was good until second or earlier. There is at most one list for each second of two windows.
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
			delete(n.byKey, keyID) // a map never gets smaller
		}
	}
}
