package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"userinfo/access"
)

// macs computes HMAC-SHA256 under one key. It keeps states that have taken the key in, which is half of the work, each for
// one use at a time.
//
// They hold what the key itself is, and go when the garbage collector does: those of a key that is no longer in force with
// the key. What was computed with one is cleared after, but for an intermediate digest that stays until its next use.
type macs struct{ pool sync.Pool }

// mac is one state, and room to work in.
type mac struct {
	hash hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

func newMACs(key []byte) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}}
}

// take gives out a state. Whoever has it must put it back, and keep nothing that points into it.
func (m *macs) take() *mac { return m.pool.Get().(*mac) }

func (m *macs) put(one *mac) {
	one.hash.Reset()
	clear(one.text[:cap(one.text)])
	clear(one.sum[:])
	m.pool.Put(one)
}

// write makes text prefix ‖ collection ‖ 0 ‖ key.
func (m *mac) write(prefix []byte, collection string, key access.Key) {
	m.text = append(append(append(append(m.text[:0], prefix...), collection...), 0), key...)
}

// digest is the HMAC of text, good until the state is used again. It is to be called once.
func (m *mac) digest() []byte {
	m.hash.Write(m.text)
	return m.hash.Sum(m.sum[:0])
}
