package main

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"userinfo/internal/tracing"
)

// openTracing starts the sending of spans. It returns nil if the configuration has no collector. The caller closes the tracer
// after the last request.
func (s *service) openTracing() *tracing.Tracer {
	c := s.config.Tracing
	if !c.IsOn() {
		return nil
	}
	id, err := uuid.NewRandomFromReader(crand.Reader)
	if err != nil { // crypto/rand does not fail
		s.log.Error("cannot make an id of this instance for traces", "error", err.Error())
	}
	s.log.Info("requests are traced", "collector", c.URL(), "ratio", *c.SampleRatio, "instance", id.String())
	return tracing.New(tracing.Config{
		Ratio:    *c.SampleRatio,
		Instance: tracing.Instance{Service: c.ServiceName, Version: versionText(), ID: id.String(), Datacentre: s.config.Cassandra.LocalDatacentre},
		Send:     tracing.NewCollector(c.URL(), s.config.CollectorTLS, c.Headers).Send,
		Now:      time.Now,
		Random:   rand.Uint64,
		Registry: s.registry,
		Panics:   s.panics,
		Log:      s.log,
	})
}
