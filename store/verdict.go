package store

import (
	"context"
	"errors"
	"time"

	"github.com/gocql/gocql"
)

// errSlow stands for a coordinator that has not answered in time.
var errSlow = errors.New("slow coordinator")

// judge tells the coordinator's breaker how an attempt ended.
func (r *runner) judge(p plan, a *attempt, err error) {
	r.metrics.attempts[result(err)].Inc()
	if p.read && err == nil {
		r.reads.observe(time.Since(a.began))
	}
	h := a.host.Load()
	if h == nil || p.everywhere {
		return
	}
	if err == nil {
		if !a.late { // a late answer shows that the coordinator lives, not that it is well
			h.succeeded()
		}
	} else if !permanent(err) {
		h.failed(r.coordinators.now())
	}
}

// slow tells the breaker, once, that an attempt has had no answer for longer than is usual.
func (r *runner) slow(p plan, a *attempt) {
	if !a.late {
		a.late = true
		r.judge(p, a, errSlow)
	}
}

// affords tells whether another coordinator may be asked beside the one that is slow: where that one keeps failing
// while others do well, for then it must be taken for lost; where a delete wants every datacentre, for deletes are
// rare; and otherwise where it has been saved for. When all are slow it is the work that is too much, and more of it
// would make it worse.
func (r *runner) affords(p plan, a *attempt) bool {
	h := a.host.Load()
	if p.everywhere || (h != nil && r.coordinators.lost(h)) || r.spend() {
		r.metrics.hedges.Inc()
		return true
	}
	return false
}

func (r *runner) earn() {
	if r.savings.Load() < hedgeCost*hedgeSavings {
		r.savings.Add(1)
	}
}

func (r *runner) spend() bool {
	if r.savings.Add(-hedgeCost) >= 0 {
		return true
	}
	r.savings.Add(hedgeCost)
	return false
}

// permanent tells whether asking again would bring the same: the statement or the permission is wrong.
func permanent(err error) bool {
	var refused gocql.RequestError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code() {
	case gocql.ErrCodeSyntax, gocql.ErrCodeInvalid, gocql.ErrCodeConfig, gocql.ErrCodeUnauthorized, gocql.ErrCodeCredentials:
		return true
	}
	return false
}

// attemptResult is how an attempt ends, for the metric.
type attemptResult int

// The results, in the order of attemptResults.
const (
	resultOK attemptResult = iota
	resultSlow
	resultUnavailable
	resultTimeout
	resultRefused
	resultNoResponse
	resultConnection
)

var attemptResults = [...]string{"ok", "slow", "unavailable", "timeout", "refused", "no_response", "connection"}

func result(err error) attemptResult {
	if err == nil {
		return resultOK
	}
	var refused gocql.RequestError
	switch {
	case errors.Is(err, errSlow):
		return resultSlow
	case errors.As(err, &refused):
		switch refused.Code() {
		case gocql.ErrCodeUnavailable:
			return resultUnavailable
		case gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout:
			return resultTimeout
		}
		return resultRefused
	case errors.Is(err, gocql.ErrTimeoutNoResponse), errors.Is(err, context.DeadlineExceeded):
		return resultNoResponse
	}
	return resultConnection
}
