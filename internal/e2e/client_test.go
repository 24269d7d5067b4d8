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

// requestTimeout is MediaWiki's timeout.
const requestTimeout = 3 * time.Second

// client sends requests to one instance over persistent connections.
type client struct {
	base string
	http *http.Client
	auth string
}

func (env *environment) client(i *fleet.Instance) *client {
	return &client{
		base: i.CollectionURL("sessions"),
		auth: "Bearer " + string(env.fleet.Token()),
		http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: env.fleet.CAPool()}, MaxIdleConnsPerHost: 64,
		}},
	}
}

// do sends a request and returns status and body.
func (c *client) do(method, key, body string, ttl int) (int, string, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, c.base+key, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", c.auth)
	if ttl > 0 {
		r.Header.Set("TTL", fmt.Sprint(ttl))
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// expect sends a request and checks its status. It returns the body.
func (c *client) expect(t *testing.T, status int, method, key, body string) string {
	t.Helper()
	got, text, err := c.do(method, key, body, 0)
	if err != nil || got != status {
		t.Errorf("%s: got %d (%v) %s, want %d", method, got, err, text, status)
	}
	return text
}

// createSessions creates n sessions and returns their keys.
func (c *client) createSessions(t *testing.T, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "load:" + rand.Text()
		c.expect(t, http.StatusNoContent, http.MethodPut, keys[i], strings.Repeat("v", 700))
	}
	return keys
}
