//go:build integration

package upgrade

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

const (
	requestTimeout = 3 * time.Second // MediaWiki's
	readyInterval  = 100 * time.Millisecond
	patience       = 30 * time.Second
)

// member is an instance and the version that it runs.
type member struct {
	*fleet.Instance
	mu      sync.Mutex // guards the fields below
	version string     // old or new
	ready   bool       // /readyz was 200
}

func (m *member) state() (version string, ready bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version, m.ready
}

func (m *member) set(change func(*member)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// balancer sends requests to the instances of one datacentre, as haproxy does: to those whose /readyz is 200, and to another one if
// it cannot connect.
type balancer struct {
	http    *http.Client
	auth    string
	members []*member
}

func newBalancer(f *fleet.Fleet, members []*member) *balancer {
	return &balancer{
		auth: "Bearer " + string(f.Token()), members: members,
		http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.CAPool()}, MaxIdleConnsPerHost: 16}},
	}
}

// watch asks for readiness until ctx ends.
func (b *balancer) watch(ctx context.Context) {
	for tick := time.NewTicker(readyInterval); ; {
		for _, m := range b.members {
			response, err := b.http.Get(m.BaseURL() + "/readyz")
			ready := err == nil && response.StatusCode == http.StatusOK
			if err == nil {
				_ = response.Body.Close()
			}
			m.set(func(m *member) { m.ready = ready })
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// answer is a response, and the version that sent it.
type answer struct {
	status        int
	body, version string
}

// do sends a request to one instance.
func (b *balancer) do(m *member, method, key, body, ttl string) (answer, error) {
	version, _ := m.state()
	r, err := http.NewRequest(method, m.CollectionURL("sessions")+key, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", b.auth)
	if ttl != "" {
		r.Header.Set("TTL", ttl)
	}
	r.Header["Idempotency-Key"] = nil // net/http then repeats a request on a kept connection that was closed; it sends no header
	response, err := b.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), version}, err
}

// balance sends a request to a ready instance, chosen at random, and to the next one if it cannot connect.
func (b *balancer) balance(method, key, body, ttl string) (answer, error) {
	var ready []*member
	for _, m := range b.members {
		if _, ok := m.state(); ok {
			ready = append(ready, m)
		}
	}
	mathrand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	err := errors.New("no instance is ready")
	for _, m := range ready {
		var a answer
		if a, err = b.do(m, method, key, body, ttl); err == nil {
			return a, nil
		}
		if refused, ok := errors.AsType[*net.OpError](err); !ok || refused.Op != "dial" {
			return answer{}, err
		}
	}
	return answer{}, err
}

// load is what clients do all the time in each datacentre. Each session is set, read, touched, deleted, read again and set again,
// each time on a random instance.
type load struct {
	mu     sync.Mutex     // guards the fields below
	served map[string]int // requests by the versions that have answered two in a row on one session, such as old-new
	errors []string
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func startLoad(balancers ...*balancer) *load {
	l := &load{served: make(map[string]int)}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for _, b := range balancers {
		for range 2 {
			l.done.Go(func() {
				for ctx.Err() == nil {
					l.session(b)
				}
			})
		}
	}
	return l
}

// session is the life of one session. Each step must have its status and body.
func (l *load) session(b *balancer) {
	key, value := "upgrade:"+rand.Text(), rand.Text()
	last := ""
	for _, step := range []struct {
		method, body, ttl string
		status            int
		want              string
	}{
		{http.MethodPut, value, "", http.StatusNoContent, ""},
		{http.MethodGet, "", "", http.StatusOK, value},
		{http.MethodPatch, "", "3600", http.StatusNoContent, ""},
		{http.MethodGet, "", "", http.StatusOK, value},
		{http.MethodDelete, "", "", http.StatusNoContent, ""},
		{http.MethodGet, "", "", http.StatusNotFound, "urn:userinfo:problem:not-found"},
		{http.MethodPut, "straggler", "", http.StatusConflict, "urn:userinfo:problem:deleted"}, // the logout fence
		{http.MethodGet, "", "", http.StatusNotFound, "urn:userinfo:problem:not-found"},
	} {
		got, err := b.balance(step.method, key, step.body, step.ttl)
		l.record(last, got.version)
		if err != nil || got.status != step.status || !strings.Contains(got.body, step.want) {
			l.fail(fmt.Sprintf("%s: %s %d, answered by %s after %s: %d %s %v", time.Now().Format(time.TimeOnly), step.method, step.status, got.version, last, got.status, got.body, err))
			return
		}
		last = got.version
	}
}

func (l *load) record(last, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[last+"-"+version]++
}

func (l *load) fail(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, what)
}

// count returns how many requests a pair of versions has answered so far.
func (l *load) count(pair string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[pair]
}

// await waits until each of these pairs of versions has answered n more requests.
func (l *load) await(t *testing.T, n int, pairs ...string) {
	t.Helper()
	var from []int
	for _, p := range pairs {
		from = append(from, l.count(p))
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		i := slices.IndexFunc(pairs, func(p string) bool { return l.count(p) < from[slices.Index(pairs, p)]+n })
		if i < 0 {
			return
		}
		l.check(t)
		if t.Failed() || time.Now().After(deadline) {
			t.Fatalf("only %d requests of %s", l.count(pairs[i])-from[i], pairs[i])
		}
	}
}

// check fails the test if a request had an error.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) > 0 {
		t.Errorf("%d sessions had an error: %.3000q", len(l.errors), l.errors)
	}
}

// end stops the load and checks it.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	l.check(t)
	t.Logf("requests by the versions that answered two in a row: %v", l.served)
}
