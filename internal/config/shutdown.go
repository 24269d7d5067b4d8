package config

import (
	"errors"
	"time"

	"userinfo/api"
	"userinfo/internal/field"
)

// Shutdown is what happens after SIGTERM.
type Shutdown struct {
	// Drain is the time during which the service goes on serving after /readyz has become 503, so that load balancers
	// notice. Default 2s; may be 0s.
	Drain *time.Duration `yaml:"drain"`
	// Grace is the time that requests in progress have after Drain. At least api.RequestTimeout; default 5s.
	Grace time.Duration `yaml:"grace"`
}

func (s Shutdown) validate() error {
	var errs []error
	if *s.Drain < 0 {
		errs = append(errs, field.Errorf("shutdown.drain", "must not be negative"))
	}
	if s.Grace < api.RequestTimeout {
		errs = append(errs, field.Errorf("shutdown.grace", "must be at least %v, the time that a request may take", api.RequestTimeout))
	}
	return errors.Join(errs...)
}
