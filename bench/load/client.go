package load

import (
	"context"
	"errors"
	"net"
	"os"
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
	Length int    // bytes of what a get is to find; 0: any
}

// Conn carries out one operation after another. One goroutine uses it at a time.
type Conn interface {
	// Do is nil where the answer is as it should be, and a Failure where it is not; after any other error the caller closes
	// and replaces the Conn. It takes no longer than Patience, whatever becomes of ctx.
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

// Failure is an answer that is not as it should be. Its text is the reason it is counted under, such as 503.
type Failure string

// The failures that all targets name alike.
const (
	NotFound    Failure = "404"    // a get that found nothing where something should be
	Found       Failure = "found"  // a get that found something where nothing should be
	OtherLength Failure = "length" // a get that found what is not the value: a login page, or half of it
)

// Error is the reason.
func (f Failure) Error() string { return string(f) }

// The reasons that are no answer's.
const (
	timeout    = "timeout"    // no answer within Patience, counted from when the request was due
	connection = "connection" // it could not be made, or broke
)

// Reason is what an error of Dial or Do is counted under: few words, whatever the target.
func Reason(err error) string {
	var failure Failure
	if errors.As(err, &failure) {
		return string(failure)
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return timeout
	}
	return connection
}
