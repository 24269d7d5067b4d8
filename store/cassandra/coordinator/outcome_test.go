package coordinator

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gocql/gocql"
)

func TestOutcome_OfErrors(t *testing.T) {
	for _, c := range []struct {
		err       error
		want      string
		permanent bool
	}{
		{nil, "ok", false},
		{errSlow, "slow", false},
		{codeError(gocql.ErrCodeUnavailable), "unavailable", false},
		{codeError(gocql.ErrCodeReadTimeout), "timeout", false},
		{fmt.Errorf("wrapped: %w", codeError(gocql.ErrCodeWriteTimeout)), "timeout", false},
		{codeError(gocql.ErrCodeOverloaded), "refused", false},
		{codeError(gocql.ErrCodeSyntax), "refused", true},
		{codeError(gocql.ErrCodeInvalid), "refused", true},
		{codeError(gocql.ErrCodeConfig), "refused", true},
		{codeError(gocql.ErrCodeUnauthorized), "refused", false},
		{codeError(gocql.ErrCodeCredentials), "refused", true},
		{gocql.ErrTimeoutNoResponse, "no_response", false},
		{fmt.Errorf("no room: %w", context.DeadlineExceeded), "no_response", false},
		{fmt.Errorf("no room: %w: %w", ErrUnsent, context.DeadlineExceeded), "unsent", false},
		{gocql.ErrConnectionClosed, "connection", false},
		{errors.New("anything else"), "connection", false},
	} {
		if got := outcomeNames[outcomeOf(c.err)]; got != c.want {
			t.Errorf("the outcome of %v is %s, want %s", c.err, got, c.want)
		}
		if got := isPermanent(c.err); got != c.permanent {
			t.Errorf("%v is permanent: %v, want %v", c.err, got, c.permanent)
		}
	}
}
