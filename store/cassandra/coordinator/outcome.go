package coordinator

import (
	"context"
	"errors"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
)

// ErrUnsent is part of the error of a statement that was not sent, because too much waits to be sent to the node. The statement
// had no effect. The error says nothing about the node, so it does not count in the node's circuit breaker. If the node does not
// read, the attempts that wait there become slow, and count.
var ErrUnsent = errors.New("too much waits to be sent to the Cassandra node")

// errSlow is recorded for an attempt that is slow and has no answer yet. errSuperseded is recorded for an attempt that is not
// slow, has no answer yet, and is not needed any more.
var (
	errSlow       = errors.New("slow coordinator")
	errSuperseded = errors.New("superseded by a hedged attempt")
)

// outcome is how an attempt ended, for the metric.
type outcome int

const (
	outcomeOK          outcome = iota
	outcomeSlow                // no answer yet; the attempt may end with another outcome later
	outcomeSuperseded          // no answer yet, and another node was quicker
	outcomeUnavailable         // too few replicas are up; nothing was written
	outcomeTimeout             // too few replicas have answered in time
	outcomeRefused             // any other error of Cassandra's
	outcomeNoResponse          // no answer within the driver's timeout
	outcomeConnection          // no connection, or it was lost
	outcomeUnsent              // not sent; see ErrUnsent
)

// outcomeNames are the label values of the metric, by outcome.
var outcomeNames = [...]string{"ok", "slow", "superseded", "unavailable", "timeout", "refused", "no_response", "connection", "unsent"}

// outcomeOf returns the outcome of an attempt that ended with err.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcomeOK
	}
	var refused gocql.RequestError
	switch {
	case errors.Is(err, errSlow):
		return outcomeSlow
	case errors.Is(err, errSuperseded):
		return outcomeSuperseded
	case errors.Is(err, ErrUnprepared):
		return outcomeRefused
	case errors.Is(err, ErrUnsent):
		return outcomeUnsent
	case errors.As(err, &refused):
		switch refused.Code() {
		case gocql.ErrCodeUnavailable:
			return outcomeUnavailable
		case gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout:
			return outcomeTimeout
		}
		return outcomeRefused
	case errors.Is(err, gocql.ErrTimeoutNoResponse), errors.Is(err, context.DeadlineExceeded):
		return outcomeNoResponse
	}
	return outcomeConnection
}

// isPermanent reports whether every node would return the same error, because the statement is wrong, or the code panics.
func isPermanent(err error) bool {
	if errors.Is(err, panics.ErrPanic) {
		return true
	}
	switch refusalCode(err) {
	case gocql.ErrCodeSyntax, gocql.ErrCodeInvalid, gocql.ErrCodeConfig, gocql.ErrCodeCredentials:
		return true
	}
	return false
}

// isUnauthorized reports whether the node says that the role may not run the statement. Another node may allow it: a node that
// reaches too few replicas of system_auth cannot read the grants, and refuses every statement.
func isUnauthorized(err error) bool { return refusalCode(err) == gocql.ErrCodeUnauthorized }

// refusalCode returns the code of Cassandra's error response, or 0 if err is no such response.
func refusalCode(err error) int {
	var refused gocql.RequestError
	if !errors.As(err, &refused) {
		return 0
	}
	return refused.Code()
}
