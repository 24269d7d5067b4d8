// Package load sends requests to a session store and measures the answers as a client sees them.
//
//	Mix ── requests ──┬─ open loop:   sent when due, whatever the answers are ──┐
//	                  └─ closed loop: one after another on each connection ─────┴── Conn ── store
//
// Invariants:
//
//  1. The requests, and in an open loop their times, follow from the seed. Only the keys that a generator sets and deletes
//     are new in each run, because the service rejects a set of a key that was deleted moments ago.
//  2. In an open loop, latency counts from when a request was due, even if it had to wait for a connection. Every request
//     that was due is counted, as done or as an error.
//  3. A request that takes longer than Patience is an error. A request that waited longer than that for a connection is not sent.
//  4. A request counts as done only if the answer is the expected one, with a complete body of the expected length.
//  5. No request takes away from the data set: only keys that the generator itself has set are deleted.
//
// The package does not check that a value is the one that was set; the drills do. It is meant for stores of one's own:
// its requests fill them.
package load

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// Method is what a request does with a key.
type Method uint8

const (
	Get Method = iota
	Set
	Touch
	Delete
)

// Request is one request.
type Request struct {
	Method Method
	Key    string
	Value  []byte // of a set
	TTL    int    // seconds, of a set or touch; 0: the store's default
	Absent bool   // a get that should find nothing
	Length int    // size of the value that a get should find; 0: any
}

// Conn is a client connection. One goroutine uses it at a time.
type Conn interface {
	// Do sends a request and returns nil if the answer is the expected one. It returns a Failure if there was another
	// answer, and a different error if the connection is broken and must be closed. It returns within Patience.
	Do(ctx context.Context, r *Request) error
	Close() error
}

// Dialer opens connections to one store. It is safe for concurrent use.
type Dialer interface {
	Dial(ctx context.Context) (Conn, error)
	Close() error
}

// Patience is how long MediaWiki waits for an answer.
const Patience = 3 * time.Second

// Failure is an answer that is not the expected one. Its text is the reason under which it is counted.
type Failure string

// Failures that have the same name for every kind of store. Other answers of an HTTP store are named by their status.
const (
	NotFound    Failure = "404"    // a get or touch did not find what should be there
	Found       Failure = "found"  // a get found what should not be there
	OtherLength Failure = "length" // a get found something else: a login page, or half a value
)

// Error returns the reason.
func (f Failure) Error() string { return string(f) }

// Reasons of errors that are not answers.
const (
	reasonTimeout    = "timeout"    // no answer within Patience of the time at which the request was due
	reasonWaited     = "waited"     // no connection was free within Patience
	reasonConnection = "connection" // the connection could not be opened, or broke
)

// Reason returns the reason under which an error of Dial or Do is counted.
func Reason(err error) string {
	var failure Failure
	if errors.As(err, &failure) {
		return string(failure)
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return reasonTimeout
	}
	return reasonConnection
}

// CheckGet returns the result of a get that found a value of some length, or nothing.
func CheckGet(r *Request, found bool, length int) error {
	switch {
	case !found && !r.Absent:
		return NotFound
	case found && r.Absent:
		return Found
	case found && r.Length > 0 && length != r.Length:
		return OtherLength
	}
	return nil
}
