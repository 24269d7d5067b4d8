package store

import (
	"errors"
	"fmt"
	"testing"

	"userinfo/access"
)

func TestMetrics_Outcome(t *testing.T) {
	unavailable := fmt.Errorf("reading: %w", ErrUnavailable)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "ok"},
		{access.ErrDenied, "denied"},
		{fmt.Errorf("reading: %w", ErrNotFound), "not_found"},
		{ErrDeleted, "deleted"},
		{fmt.Errorf("%w: %w", ErrNotEverywhere, unavailable), "not_everywhere"},
		{ErrKey, "invalid"},
		{ErrTTL, "invalid"},
		{ErrFull, "full"},
		{fmt.Errorf("reading: %w", ErrSealed), "unopened"},
		{unavailable, "unavailable"},
		{errors.New("unknown"), "unavailable"},
	} {
		if got := outcomes[outcomeOf(c.err)].name; got != c.want {
			t.Errorf("error %v: outcome %s, want %s", c.err, got, c.want)
		}
	}
}
