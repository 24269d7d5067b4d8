package access

import (
	"errors"

	"userinfo/internal/field"
)

// Limits are the limits of one client, so that it cannot use up the service or guess keys quickly. 0 means not set: the
// default applies (limits.per_client). Without a default there is no limit. A request beyond a limit is answered 429 Too
// Many Requests.
type Limits struct {
	// MaxInFlight is the number of the client's requests that are processed at the same time.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxConnections is the number of the client's open connections. If a further one brings a request of the client, the
	// longest idle one is closed. Only if none is idle, the request is answered 429.
	MaxConnections int `yaml:"max_connections"`
	// RequestsPerSecond is the client's average rate of requests. Up to one second's worth of requests may come in a burst.
	RequestsPerSecond int `yaml:"requests_per_second"`
	// MissesPerMinute is the client's average rate of misses: requests for keys without a value (404), and requests that
	// are refused because of who sent them, except with 429. Most of the second kind are answered 403. Up to one minute's
	// worth may come in a burst. Beyond it, only get and touch are answered 429, until the rate allows another miss. Requests that are
	// processed at the same time are not yet counted, so a client can exceed the limit by MaxInFlight.
	MissesPerMinute int `yaml:"misses_per_minute"`
	// MaxBytesInFlight is the memory, in bytes, for the client's values in flight. A set takes four times the size of its
	// body, a get twice the size of its value.
	MaxBytesInFlight int `yaml:"max_bytes_in_flight"`
	// BytesPerSecond is the average rate at which the client may send and receive large values (from 16 KiB). Up to one
	// second's worth may come in a burst. Beyond it, only get, set and touch are answered 429.
	BytesPerSecond int `yaml:"bytes_per_second"`
}

// WithDefaults returns l with every limit that is 0 replaced by the one in defaults.
func (l Limits) WithDefaults(defaults Limits) Limits {
	for _, f := range []struct{ limit, fallback *int }{
		{&l.MaxInFlight, &defaults.MaxInFlight}, {&l.MaxConnections, &defaults.MaxConnections}, {&l.RequestsPerSecond, &defaults.RequestsPerSecond}, {&l.MissesPerMinute, &defaults.MissesPerMinute},
		{&l.MaxBytesInFlight, &defaults.MaxBytesInFlight}, {&l.BytesPerSecond, &defaults.BytesPerSecond},
	} {
		if *f.limit == 0 {
			*f.limit = *f.fallback
		}
	}
	return l
}

// Validate rejects negative limits. path is the place of l in the configuration; each error is a *field.Error.
func (l Limits) Validate(path string) error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"max_in_flight", l.MaxInFlight}, {"max_connections", l.MaxConnections}, {"requests_per_second", l.RequestsPerSecond}, {"misses_per_minute", l.MissesPerMinute},
		{"max_bytes_in_flight", l.MaxBytesInFlight}, {"bytes_per_second", l.BytesPerSecond},
	} {
		if f.value < 0 {
			errs = append(errs, field.Errorf(path+"."+f.name, "must be at least 1; remove the line to set no limit here"))
		}
	}
	return errors.Join(errs...)
}
