package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// readyFor is how long an answer of the store's is believed, so that asking /readyz often costs the store nothing.
const readyFor = time.Second

// readyTimeout bounds the store's read.
const readyTimeout = time.Second

// health is what /healthz and /readyz tell.
type health struct {
	check    func(context.Context) error
	now      func() time.Time
	log      *slog.Logger
	draining atomic.Bool

	mu   sync.Mutex // held while the store is asked, so that it is asked once
	at   time.Time
	last error
}

// alive answers as long as the process does.
func (a *API) alive(x *exchange) error { return x.say("alive\n") }

// ready answers 200 while this instance wants requests and the store can be read.
func (a *API) ready(x *exchange) error {
	if a.health.draining.Load() {
		return errNotReady
	}
	if err := a.health.store(x.r.Context()); err != nil {
		return fmt.Errorf("%w: %w", errNotReady, err)
	}
	return x.say("ready\n")
}

func (h *health) store(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() || h.now().Sub(h.at) >= readyFor {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		before := h.last
		h.last = h.check(ctx)
		h.at = h.now() // the time of the answer, so that those who have waited for it believe it
		if (before == nil) != (h.last == nil) {
			h.log.Warn("readiness changed", "ready", h.last == nil, "cause", fmt.Sprint(h.last))
		}
	}
	return h.last
}

func (x *exchange) say(text string) error {
	h := x.w.Header()
	h["Cache-Control"] = noStore
	h.Set("Content-Type", "text/plain; charset=utf-8")
	x.leave() // whoever asks may be anybody, and strangers do not occupy connections
	x.answer(http.StatusOK)
	_, err := io.WriteString(x.w, text)
	return err
}
