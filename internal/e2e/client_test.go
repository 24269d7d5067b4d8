//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
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
		base: i.URL("sessions"),
		auth: "Bearer " + string(w.fleet.Token()),
		http: &http.Client{Timeout: patience, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: w.fleet.Pool()}, MaxIdleConnsPerHost: 64,
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

// event is one request of a load and how it went.
type event struct {
	method string
	start  time.Time
	took   time.Duration
	err    error // also a status that is none of the right ones
}

// load is an open loop: requests leave on schedule, whatever the answers do.
type load struct {
	client *client
	keys   []string
	rate   int // per second

	mu     sync.Mutex
	events []event
}

// loadKeys makes n sessions to get, set and touch.
func (c *client) loadKeys(t *testing.T, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "load:" + rand.Text()
		c.want(t, http.StatusNoContent, http.MethodPut, keys[i], strings.Repeat("v", 700))
	}
	return keys
}

// run sends requests until stop is closed, and returns when all are answered: 80 % get, 15 % set, 5 % touch. A request
// that leaves late, because the machine was busy, has had its time from when it should have left.
func (l *load) run(stop <-chan struct{}) {
	var flying sync.WaitGroup
	defer flying.Wait()
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		timer.Reset(time.Until(due))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		key := l.keys[mathrand.IntN(len(l.keys))]
		flying.Go(func() {
			switch m := n % 20; {
			case m < 16:
				l.one(due, http.MethodGet, key, "", 0, http.StatusOK)
			case m < 19:
				l.one(due, http.MethodPut, key, strings.Repeat("w", 700), 0, http.StatusNoContent)
			default:
				l.one(due, http.MethodPatch, key, "", 3600, http.StatusNoContent)
			}
		})
	}
}

func (l *load) one(due time.Time, method, key, body string, ttl, want int) {
	e := event{method: method, start: due}
	status, text, err := l.client.do(method, key, body, ttl)
	e.took, e.err = time.Since(e.start), err
	if err == nil && status != want {
		e.err = errors.New(fmt.Sprint(status, " ", text))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// summary is what matters of the requests that began in a stretch of time.
type summary struct {
	requests, errors int
	p50, p99, most   time.Duration
	first            error
}

func (l *load) between(from, to time.Time) (s summary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, e := range l.events {
		if e.start.Before(from) || !e.start.Before(to) {
			continue
		}
		s.requests++
		took = append(took, e.took)
		if e.err != nil {
			s.errors++
			if s.errors == 1 {
				s.first = fmt.Errorf("%s: %w", e.method, e.err)
			}
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		s.p50, s.p99, s.most = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return s
}

func (s summary) String() string {
	return fmt.Sprintf("%d requests, %d errors, p50 %v, p99 %v, most %v", s.requests, s.errors,
		s.p50.Round(time.Millisecond), s.p99.Round(time.Millisecond), s.most.Round(time.Millisecond))
}
