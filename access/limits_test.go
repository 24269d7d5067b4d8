package access_test

import (
	"testing"

	"userinfo/access"
)

func TestLimits_WithDefaults(t *testing.T) {
	defaults := access.Limits{MaxInFlight: 1, RequestsPerSecond: 2, MissesPerMinute: 3, MaxBytesInFlight: 4, BytesPerSecond: 5}
	for _, test := range []struct{ limits, want access.Limits }{
		{access.Limits{}, defaults},
		{access.Limits{RequestsPerSecond: 9}, access.Limits{MaxInFlight: 1, RequestsPerSecond: 9, MissesPerMinute: 3, MaxBytesInFlight: 4, BytesPerSecond: 5}},
		{access.Limits{MaxInFlight: 7, RequestsPerSecond: 8, MissesPerMinute: 9}, access.Limits{MaxInFlight: 7, RequestsPerSecond: 8, MissesPerMinute: 9, MaxBytesInFlight: 4, BytesPerSecond: 5}},
		{access.Limits{MaxBytesInFlight: 6, BytesPerSecond: 7}, access.Limits{MaxInFlight: 1, RequestsPerSecond: 2, MissesPerMinute: 3, MaxBytesInFlight: 6, BytesPerSecond: 7}},
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
	got := mistakes(access.Limits{MaxInFlight: -1, RequestsPerSecond: -1, MissesPerMinute: -1, MaxBytesInFlight: -1, BytesPerSecond: -1}.Validate("limits"))
	for _, path := range []string{"limits.max_in_flight", "limits.requests_per_second", "limits.misses_per_minute", "limits.max_bytes_in_flight", "limits.bytes_per_second"} {
		if got[path] == "" {
			t.Errorf("no message about %s: %v", path, got)
		}
	}
}
