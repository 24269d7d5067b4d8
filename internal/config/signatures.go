package config

import (
	"errors"
	"time"

	"userinfo/internal/field"
)

// Signatures bounds the signatures of requests (RFC 9421).
type Signatures struct {
	// Window is the largest difference between a signature's time and the service's clock, in either direction. Whole
	// seconds, 1s to 10m; default 60s.
	Window time.Duration `yaml:"window"`
	// Nonces is the number of nonces that the service remembers for each key, about 70 bytes each; default 1048576. When a
	// key has sent this many within two windows, its next request is answered 429.
	Nonces int `yaml:"nonces"`
}

func (s Signatures) validate() error {
	var errs []error
	if s.Window < time.Second || s.Window > 10*time.Minute || s.Window%time.Second != 0 {
		errs = append(errs, field.Errorf("signatures.window", "must be whole seconds, from 1s to 10m"))
	}
	if s.Nonces < 1 {
		errs = append(errs, field.Errorf("signatures.nonces", "must be at least 1"))
	}
	return errors.Join(errs...)
}
