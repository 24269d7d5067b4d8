package store

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/topk"
)

const (
	// rewriteWindow is the time after which counting begins again. The list shows the current window and the one before.
	rewriteWindow = 10 * time.Minute
	// rewriteEntries is how many keys of a collection are followed in each window. A key that causes more than one of this
	// many writes is always among them. Memory: less than 1 MB for each window and collection.
	rewriteEntries = 4096
	// listedRewrites is how many keys of a collection are listed.
	listedRewrites = 20
)

// Rewrites finds the keys that are written again most often, in every collection. It is safe for concurrent use.
//
// It never keeps a session key. It follows a key by a 64-bit hash with a seed that nobody knows and that never leaves the
// process. When it sees a second write of the key, it computes the keyed hash that it lists. It compares values by a hash with
// the same seed.
type Rewrites struct {
	now  func() time.Time
	hash func(access.Key) string
	seed maphash.Seed

	mu          sync.Mutex // guards collections
	collections []*collectionRewrites
}

// NewRewrites returns a Rewrites. hash is the keyed hash of a session key that is listed; without its secret, nobody must be able
// to compute or reverse it.
func NewRewrites(now func() time.Time, hash func(access.Key) string) *Rewrites {
	return &Rewrites{now: now, hash: hash, seed: maphash.MakeSeed()}
}

// rewrite is what is known about a key that is followed.
type rewrite struct {
	hash      string // keyed; empty before the second write
	last      uint64 // hash of the last value
	unchanged uint64 // writes of the same value as the write before
}

// collectionRewrites counts the writes of one collection. A nil *collectionRewrites counts nothing.
type collectionRewrites struct {
	all  *Rewrites
	name string

	mu                sync.Mutex // guards the fields below
	current, previous *topk.Sketch[rewrite]
	began             time.Time // when the current window began
	from              time.Time // when the previous window began; equal to began if there was none
}

// collection returns what counts the writes of a collection, and creates it on first use. It returns nil if r is nil.
func (r *Rewrites) collection(name string) *collectionRewrites {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.collections, func(c *collectionRewrites) bool { return c.name == name }); i >= 0 {
		return r.collections[i]
	}
	now := r.now()
	c := &collectionRewrites{
		all: r, name: name, current: topk.New[rewrite](rewriteEntries), previous: topk.New[rewrite](rewriteEntries), began: now, from: now,
	}
	r.collections = append(r.collections, c)
	return c
}

// hashValue returns the hash of a value, for record.
func (c *collectionRewrites) hashValue(data []byte) uint64 {
	if c == nil {
		return 0
	}
	return maphash.Bytes(c.all.seed, data)
}

// record counts one write of a value with this hash under a key.
func (c *collectionRewrites) record(key access.Key, value uint64) {
	if c == nil {
		return
	}
	id := maphash.String(c.all.seed, string(key))
	now := c.all.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	e := c.current.Add(id)
	if e.Seen() > 1 {
		if e.Value.hash == "" {
			e.Value.hash = c.all.hash(key)
		}
		if e.Value.last == value {
			e.Value.unchanged++
		}
	}
	e.Value.last = value
}

// turn begins a new window if the current one has ended. The caller holds mu.
func (c *collectionRewrites) turn(now time.Time) {
	age := now.Sub(c.began)
	if age < rewriteWindow {
		return
	}
	c.previous, c.current = c.current, c.previous
	c.current.Reset()
	c.from, c.began = c.began, now
	if age >= 2*rewriteWindow { // no write for a whole window
		c.previous.Reset()
		c.from = now
	}
}

// RewrittenKeys are the keys of a collection that are written again most often.
type RewrittenKeys struct {
	Collection string
	// Since is when counting began: between one and two windows ago, or when the collection was opened.
	Since time.Time
	// Writes are all writes of the collection since then: sets, and touches that wrote.
	Writes uint64
	// Keys are at most listedRewrites, by descending Writes.
	Keys []RewrittenKey
}

// RewrittenKey is a key that was written at least twice.
type RewrittenKey struct {
	// Hash is the keyed hash of the session key.
	Hash string
	// Writes is how often the key was written at least, and AtMost how often at most.
	Writes, AtMost uint64
	// Unchanged is how many of Writes wrote the same value as the write before.
	Unchanged uint64
}

// List returns the most rewritten keys of every collection, in the order in which the collections were opened.
func (r *Rewrites) List() []RewrittenKeys {
	r.mu.Lock()
	collections := slices.Clone(r.collections)
	r.mu.Unlock()
	var all []RewrittenKeys
	for _, c := range collections {
		all = append(all, c.list())
	}
	return all
}

// list returns the most rewritten keys of the collection. A key has up to two entries, one in each window. Without an entry in a
// window, its writes there are at most the Floor of the window's sketch.
func (c *collectionRewrites) list() RewrittenKeys {
	c.mu.Lock()
	c.turn(c.all.now())
	current, previous := c.current.Entries(), c.previous.Entries()
	currentFloor, previousFloor := c.current.Floor(), c.previous.Floor()
	l := RewrittenKeys{Collection: c.name, Since: c.from, Writes: c.current.Counted() + c.previous.Counted()}
	c.mu.Unlock()

	keys := make(map[uint64]*RewrittenKey)
	for i := range current {
		e := &current[i]
		keys[e.ID] = &RewrittenKey{Hash: e.Value.hash, Writes: e.Seen(), AtMost: e.Count + previousFloor, Unchanged: e.Value.unchanged}
	}
	for i := range previous {
		e := &previous[i]
		k := keys[e.ID]
		if k == nil {
			k = &RewrittenKey{AtMost: previousFloor + currentFloor}
			keys[e.ID] = k
		}
		k.Hash = cmp.Or(k.Hash, e.Value.hash)
		k.Writes += e.Seen()
		k.AtMost += e.Count - previousFloor
		k.Unchanged += e.Value.unchanged
	}
	for _, k := range keys {
		if k.Hash != "" {
			l.Keys = append(l.Keys, *k)
		}
	}
	slices.SortFunc(l.Keys, func(a, b RewrittenKey) int {
		return cmp.Or(cmp.Compare(b.Writes, a.Writes), cmp.Compare(a.Hash, b.Hash))
	})
	l.Keys = l.Keys[:min(len(l.Keys), listedRewrites)]
	return l
}
