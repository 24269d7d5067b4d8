package load

import (
	"context"
	"time"
)

// Method is what is asked of a key.
type Method uint8

// The methods.
const (
	Get Method = iota
	Set
	Touch
	Delete
)

// Op is one request.
type Op struct {
	Method Method
	Key    string
	Value  []byte // of a set
	TTL    int    // seconds, of set and touch; 0 leaves it to the target
	Absent bool   // a get that is to find nothing
}

// Conn carries out one operation after another. One goroutine uses it at a time.
type Conn interface {
	// Do is nil where the answer is as it should be. A failed Conn is closed and replaced by the caller.
	Do(ctx context.Context, op *Op) error
	Close() error
	// Wire tells how many bytes it has sent and received below TLS since it was made, handshake included; -1 where it
	// cannot be told.
	Wire() (sent, received int64)
}

// Dialer makes connections to one target. It is safe for concurrent use.
type Dialer interface {
	Dial(ctx context.Context) (Conn, error)
	Close() error
}

// Patience is MediaWiki's: what takes longer has failed for it.
const Patience = 3 * time.Second
