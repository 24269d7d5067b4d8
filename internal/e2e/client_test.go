//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

// patience is MediaWiki's: what takes longer is an error to it.
const patience = 3 * time.Second

// client talks to one instance over kept connections.
type client struct {
	base string
	http *http.Client
	auth string
}

func (w *world) client(i *fleet.Instance) *client {
	return &client{
		base: i.CollectionURL("sessions"),
		auth: "Bearer " + string(w.fleet.Token()),
		http: &http.Client{Timeout: patience, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: w.fleet.CAPool()}, MaxIdleConnsPerHost: 64,
		}},
	}
}

// do sends a request and gives its status, 0 where there is none.
func (c *client) do(method, key, body string, ttl int) (int, string, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, c.base+key, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", c.auth)
	if ttl > 0 {
		r.Header.Set("TTL", fmt.Sprint(ttl))
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// want does a request that must be answered with status.
func (c *client) want(t *testing.T, status int, method, key, body string) string {
	t.Helper()
	got, text, err := c.do(method, key, body, 0)
	if err != nil || got != status {
		t.Errorf("%s: got %d (%v) %s, want %d", method, got, err, text, status)
	}
	return text
}

// loadKeys makes n sessions.
func (c *client) loadKeys(t *testing.T, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "load:" + rand.Text()
		c.want(t, http.StatusNoContent, http.MethodPut, keys[i], strings.Repeat("v", 700))
	}
	return keys
}
