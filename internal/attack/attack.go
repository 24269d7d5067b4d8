// Package attack attacks a running service in every way that docs/security.md lists under Availability, all at once, while
// honest clients use it.
//
// One of the service's clients, mallory, attacks with its own credentials, and strangers without any. Each attack is one
// function that goes on until its context ends. It counts what the service answered, and whether it ever served somebody who
// may not be served.
//
// Invariants:
//
//  1. All traffic goes to one address on loopback. Mallory and the strangers have source addresses of their own.
//  2. Each attack has a bounded number of connections and pauses between its steps, so that the honest clients, which run on
//     the same processors, can be judged.
//  3. Nothing here is judged by time.
//
// It does not attack through proxies, and knows nothing of Cassandra: see drill for faults of the store.
package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
)

// Source addresses of the attackers. The ones that fill up the connections have addresses of their own, so that they do not
// crowd out the other attacks.
const (
	malloryAddress       = "127.0.0.66"
	malloryCrowdAddress  = "127.0.0.67"
	strangerAddress      = "127.0.0.77"
	strangerCrowdAddress = "127.0.0.78"
)

// step is the pause between two steps of a worker.
const step = 20 * time.Millisecond

// Target is the service under attack, and what the attackers know.
type Target struct {
	Address string         // on loopback
	Roots   *x509.CertPool // of the service's certificate
	Path    string         // of the collection
	Victim  string         // a key of an honest client, escaped
	Size    int            // of large values, in bytes

	Token  access.Token     // of mallory, who may use keys that begin with "mallory:"
	Signer signature.Signer // of mallory
	Forger signature.Signer // has the id of an honest client's key and another secret
	Chain  tls.Certificate  // a certificate with as many issuers as a stranger likes to send
	Forged tls.Certificate  // has the name of an honest client, from a CA that the service does not know
}

// Outcome counts what one attack met: statuses, "closed" for connections that ended without a response, and more.
type Outcome struct {
	mu     sync.Mutex
	counts map[string]int
	served []string
}

func (o *Outcome) add(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.counts == nil {
		o.counts = make(map[string]int)
	}
	o.counts[what]++
}

// addRefusal counts a response that must be no success.
func (o *Outcome) addRefusal(status string) {
	o.add(status)
	if strings.HasPrefix(status, "2") {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.served = append(o.served, status)
	}
}

// Count returns how often the attack met something.
func (o *Outcome) Count(what string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts[what]
}

// Served returns how many requests were served that must not be.
func (o *Outcome) Served() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.served)
}

// String lists the counts.
func (o *Outcome) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(o.counts)) {
		parts = append(parts, fmt.Sprintf("%s×%d", what, o.counts[what]))
	}
	return strings.Join(parts, " ")
}

// attack is one way to attack the service.
type attack struct {
	name    string
	workers int
	run     func(ctx context.Context, t *Target, o *Outcome)
	// meets is what the service must do to the attack at least once, so that it was one. Empty: any step counts.
	meets []string
}

// Run starts every attack and returns their outcomes by name. The attacks end when ctx ends; wait returns after that.
func Run(ctx context.Context, t *Target) (outcomes map[string]*Outcome, wait func()) {
	outcomes = make(map[string]*Outcome)
	var all sync.WaitGroup
	for _, a := range slices.Concat(clientAttacks, strangerAttacks) {
		o := &Outcome{}
		outcomes[a.name] = o
		for range a.workers {
			all.Go(func() { a.run(ctx, t, o) })
		}
	}
	return outcomes, all.Wait
}

// Missing returns what the attacks have not met so far, one sentence each. With nothing missing, every attack has begun and
// reached the bound that it is for.
func Missing(outcomes map[string]*Outcome) (missing []string) {
	for _, a := range slices.Concat(clientAttacks, strangerAttacks) {
		o := outcomes[a.name]
		met := len(a.meets) == 0 && o.String() != ""
		for _, what := range a.meets {
			met = met || o.Count(what) > 0
		}
		if !met {
			missing = append(missing, fmt.Sprintf("%s: met %q, and none of %q", a.name, o, a.meets))
		}
	}
	return missing
}

// pause waits, or returns false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// dial connects from an address. The connection closes when ctx ends.
func (t *Target) dial(ctx context.Context, from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

// dialTLS is dial with a TLS handshake for HTTP/1.1.
func (t *Target) dialTLS(ctx context.Context, from string, certificates ...tls.Certificate) (*tls.Conn, error) {
	c, err := t.dial(ctx, from)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(c, &tls.Config{RootCAs: t.Roots, ServerName: "localhost", Certificates: certificates, NextProtos: []string{"http/1.1"}})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

// exchange makes a connection, sends text, and returns the status of the response, or "closed". The service may answer before it
// has read everything.
func (t *Target) exchange(ctx context.Context, from, text string, certificates ...tls.Certificate) string {
	c, err := t.dialTLS(ctx, from, certificates...)
	if err != nil {
		return "closed"
	}
	defer func() { _ = c.NetConn().Close() }()
	_, _ = io.WriteString(c, text)
	return status(c)
}

// client returns an HTTP client that keeps connections.
func (t *Target) client(from string, certificates ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:     (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: t.Roots, ServerName: "localhost", Certificates: certificates},
	}}
}

// request returns a request for a key, with a token unless it is empty.
func (t *Target) request(ctx context.Context, method, key string, token access.Token, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, "https://"+t.Address+t.Path+"/"+key, r)
	if err != nil {
		panic(err) // keys are constants of this package
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	return request
}

// send sends a request and returns its status, or "closed".
func send(c *http.Client, r *http.Request) string {
	res, err := c.Do(r)
	if err != nil {
		return "closed"
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return fmt.Sprint(res.StatusCode)
}
