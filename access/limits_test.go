package access_test

import (
	"testing"

	"userinfo/access"
)

func TestLimits_WithDefaults(t *testing.T) {
	defaults := access.Limits{MaxInFlight: 1, RequestsPerSecond: 2, MissesPerMinute: 3}
	for _, test := range []struct{ limits, want access.Limits }{
		{access.Limits{}, defaults},
		{access.Limits{RequestsPerSecond: 9}, access.Limits{MaxInFlight: 1, RequestsPerSecond: 9, MissesPerMinute: 3}},
		{access.Limits{MaxInFlight: 7, RequestsPerSecond: 8, MissesPerMinute: 9}, access.Limits{MaxInFlight: 7, RequestsPerSecond: 8, MissesPerMinute: 9}},
	} {
		if got := test.limits.WithDefaults(defaults); got != test.want {
			t.Errorf("%+v with defaults %+v: %+v; want %+v", test.limits, defaults, got, test.want)
		}
	}
}

func TestLimits_ValidateRejectsNegative(t *testing.T) {
	if err := (access.Limits{MaxInFlight: 1}).Validate("limits"); err != nil {
		t.Error(err)
	}
	got := mistakes(access.Limits{MaxInFlight: -1, RequestsPerSecond: -1, MissesPerMinute: -1}.Validate("limits"))
	for _, path := range []string{"limits.max_in_flight", "limits.requests_per_second", "limits.misses_per_minute"} {
		if got[path] == "" {
			t.Errorf("no message about %s: %v", path, got)
		}
	}
}
