package signature

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// nonces remembers the nonces of signatures until the signatures are too old. It is safe for concurrent use.
//
// Keys do not share a lock, and a request of one key forgets only a few nonces. So a key with many nonces slows neither
// other keys nor its own next request.
//
// After nonces has forgotten the nonces up to a second, it accepts no signature that was valid until that second, even if the clock
// is set back. So if the clock was ahead and is set back, requests are rejected until the clock reaches the old time again, or
// until a restart.
type nonces struct {
	limit   int   // nonces for each key
	seconds int64 // the number of different seconds until which signatures can be valid now

	forgotten atomic.Int64 // the last second whose nonces may be forgotten

	mu    sync.RWMutex // guards the fields below
	byKey map[string]*keyNonces
	keys  []*keyNonces  // the values of byKey
	turn  atomic.Uint32 // chooses the key in keys that freeIdle looks at next
}

// forgetsPerUse is the largest number of nonces that one request forgets. It is more than one, so that expired nonces become
// fewer while a key is used.
const forgetsPerUse = 4

// keyNonces are the nonces of one key.
type keyNonces struct {
	mu sync.Mutex // guards the fields below
	// next contains each remembered nonce, with the nonce after it in its list or, at the end of the list, the zero nonceID.
	next map[nonceID]nonceID
	// valid are the nonces of signatures that may still be valid, by the last second of validity modulo the length of valid.
	valid []nonceList
	// expired are the nonces of signatures that are too old. They are forgotten one after the other.
	expired nonceList
	newest  int64 // the last second in valid that has a nonce
	swept   int64 // the last second whose nonces are in expired or forgotten
}

// nonceList is a list of nonces, linked by keyNonces.next. The zero nonceList is empty.
type nonceList struct{ first, last nonceID }

// nonceID is the first half of the SHA-256 of a nonce, so that long nonces take no more memory than short ones.
type nonceID [16]byte

// newNonces returns an empty memory with room for limit nonces of each key. window is Verifier.window.
func newNonces(limit int, window int64) *nonces {
	return &nonces{limit: limit, seconds: 2*window + 1, byKey: make(map[string]*keyNonces)}
}

// use decides whether a nonce is new, and remembers it until the end of a second. It fails closed: it returns ErrReplayed for a
// remembered nonce, ErrStale for a nonce that may already be forgotten and ErrNoncesFull if the key has too many nonces.
func (n *nonces) use(now int64, keyID, nonce string, until int64) error {
	sum := sha256.Sum256([]byte(nonce))
	id := nonceID(sum[:])
	forgotten := n.forget(now - 1)
	n.freeIdle(forgotten)
	k := n.key(keyID)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep(forgotten)
	switch {
	case until <= k.swept:
		return ErrStale
	case until > k.swept+n.seconds: // cannot happen: Verify has checked the time
		return ErrFuture
	}
	if _, used := k.next[id]; used {
		return ErrReplayed
	}
	if len(k.next) >= n.limit {
		return ErrNoncesFull
	}
	k.remember(id, until, n.seconds)
	return nil
}

// forget sets the last second whose nonces may be forgotten, unless it is later already, and returns it.
func (n *nonces) forget(second int64) int64 {
	for {
		last := n.forgotten.Load()
		if second <= last {
			return last
		}
		if n.forgotten.CompareAndSwap(last, second) {
			return second
		}
	}
}

// key returns the nonces of a key, and creates them on first use. They are never removed, so that no request uses nonces that
// another one does not see. Without nonces they take little memory.
func (n *nonces) key(keyID string) *keyNonces {
	n.mu.RLock()
	k := n.byKey[keyID]
	n.mu.RUnlock()
	if k != nil {
		return k
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if k = n.byKey[keyID]; k == nil {
		k = new(keyNonces)
		n.byKey[keyID] = k
		n.keys = append(n.keys, k)
	}
	return k
}

// freeIdle frees the memory of one key, if all of its nonces have expired. Each call looks at another key, so that a key that
// is not used any more takes no memory while others are used. It never waits for requests of that key.
func (n *nonces) freeIdle(second int64) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.keys) == 0 {
		return
	}
	k := n.keys[n.turn.Add(1)%uint32(len(n.keys))]
	if !k.mu.TryLock() {
		return
	}
	defer k.mu.Unlock()
	if k.newest <= second {
		k.free(second)
	}
}

// sweep moves the nonces of signatures that were valid until second or earlier to expired, and forgets a few of those.
func (k *keyNonces) sweep(second int64) {
	if k.newest <= second {
		k.free(second)
		return
	}
	for s := k.swept + 1; s <= second; s++ { // at most len(k.valid) times, because k.newest is later
		l := &k.valid[s%int64(len(k.valid))]
		k.expired = k.join(*l, k.expired)
		*l = nonceList{}
	}
	k.swept = max(k.swept, second)
	for range forgetsPerUse {
		id := k.expired.first
		if id == (nonceID{}) {
			return
		}
		k.expired.first = k.next[id]
		delete(k.next, id)
	}
}

// free forgets every nonce at once. Every signature must have been valid until second or earlier. The maps never shrink, so
// free drops them.
func (k *keyNonces) free(second int64) {
	k.next, k.valid, k.expired = nil, nil, nonceList{}
	k.swept = max(k.swept, second)
}

// remember adds a nonce that is not in k. seconds is the length of k.valid.
func (k *keyNonces) remember(id nonceID, until, seconds int64) {
	if k.next == nil {
		k.next, k.valid = make(map[nonceID]nonceID), make([]nonceList, seconds)
	}
	k.next[id] = nonceID{}
	l := &k.valid[until%seconds]
	*l = k.join(nonceList{id, id}, *l)
	k.newest = max(k.newest, until)
}

// join returns one list of the nonces in a and b.
func (k *keyNonces) join(a, b nonceList) nonceList {
	switch {
	case a.first == nonceID{}:
		return b
	case b.first == nonceID{}:
		return a
	}
	k.next[a.last] = b.first
	return nonceList{a.first, b.last}
}
