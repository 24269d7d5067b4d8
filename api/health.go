package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"userinfo/store"
)

const (
	// readyCacheTime is how long a result of the store's check is reused. It limits what /readyz costs the store.
	readyCacheTime = time.Second
	// readyTimeout is the time limit of one check.
	readyTimeout = time.Second
)

// health is the state behind /healthz and /readyz. It is safe for concurrent use.
type health struct {
	check    func(context.Context) error
	now      func() time.Time
	log      *slog.Logger
	draining atomic.Bool

	mu        sync.Mutex // held during a check, so that concurrent requests share one check
	checkedAt time.Time
	lastError error
}

// alive handles /healthz. It answers 200 as long as the process serves requests.
func (a *API) alive(rs *requestState) error { return rs.sendText("alive\n") }

// readyWithoutAudit is the text of /readyz while audit records cannot be written. The status stays 200: gets and sets go on,
// and the disks of all instances may fill at the same time.
const readyWithoutAudit = "ready, but audit records cannot be written: see userinfo_audit_unavailable\n"

// ready handles /readyz. It answers 200 if the store can be read and the process is not shutting down, otherwise 503. The
// problem document says which of its four reasons applies. The text of the error goes to the log only.
func (a *API) ready(rs *requestState) error {
	text, err := a.readiness(rs.r.Context())
	if err != nil {
		return err
	}
	return rs.sendText(text)
}

// readiness returns the text of /readyz, or why this instance is not ready.
func (a *API) readiness(ctx context.Context) (string, error) {
	if a.health.draining.Load() {
		return "", errStopping
	}
	if err := a.health.checkStore(ctx); errors.Is(err, store.ErrNotReady) {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("%w: %w", errNotReady, err)
	}
	if a.config.Audit.Check() != nil {
		return readyWithoutAudit, nil
	}
	return "ready\n", nil
}

// Readiness returns what /readyz says, in one line.
func (a *API) Readiness(ctx context.Context) string {
	text, err := a.readiness(ctx)
	if err != nil {
		text = "not ready: " + strings.TrimSuffix(strings.TrimSuffix(problemFor(err).Detail, " Nothing was done."), ".")
	}
	return strings.TrimSpace(text)
}

// checkStore returns the result of the last check, or of a new one if the last is older than readyCacheTime. The client of
// the request that starts the check may leave: the check continues.
func (h *health) checkStore(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.checkedAt.IsZero() && h.now().Sub(h.checkedAt) < readyCacheTime {
		return h.lastError
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	err := h.check(ctx)
	if (h.lastError == nil) != (err == nil) {
		h.log.Warn("readiness changed", "ready", err == nil, "cause", fmt.Sprint(err))
	}
	h.checkedAt = h.now() // after the check, so that requests that waited for it use its result
	h.lastError = err
	return err
}

// sendText sends a plain text with status 200. It closes the connection of a peer without a verified client certificate,
// which may be a stranger. It keeps the connection of others, because a proxy also uses it for other clients.
func (rs *requestState) sendText(text string) error {
	rs.w.Header().Set("Cache-Control", "no-store")
	rs.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if verifiedChains(rs.r) == nil {
		rs.closeConnection()
	}
	rs.respond(http.StatusOK)
	_, err := io.WriteString(rs.w, text)
	return err
}
