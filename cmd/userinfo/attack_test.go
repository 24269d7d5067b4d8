package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/attack"
	"userinfo/internal/devca"
)

// attackDuration is how long the attacks last at least. ATTACK_FOR, a duration, replaces it: see docs/development.md.
const attackDuration = 2 * time.Second

// attackIssuers is the number of certificates that a stranger sends beside its own.
const attackIssuers = 99

// attackConfig has small limits, so that the attacks reach all of them.
const attackConfig = `listen: 127.0.0.1:0
tls: {certificate: server.crt, key: server.key, client_ca: ca.crt}
cassandra: {hosts: [127.0.0.1], local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt}}
collections: [{name: sessions, layout: kask}]
shutdown: {drain: 0s}
limits:
  max_in_flight: 64
  max_connections: 300
  max_unauthenticated_connections: 200
  max_connections_per_address: 60
  max_bytes_in_flight: 33554432
audiences:
  health: [{allow: true}]
  metrics: [{token: true}]
  sessions: [{token: true}, {certificate: true}, {signed: true}]
clients:
  - {name: alice, grants: [%[1]s, metrics:get], keys: ["alice:*"], tokens: [{sha256: %[2]s}]}
  - {name: bob, grants: [%[1]s], keys: ["bob:*"], certificates: [{cn: bob}]}
  - {name: carol, grants: [%[1]s], keys: ["carol:*"], signature_keys: [{id: carol, file: carol.key}]}
  - {name: mallory, grants: [%[1]s], keys: ["mallory:*"], tokens: [{sha256: %[3]s}], signature_keys: [{id: mallory, file: mallory.key}],
     limits: {requests_per_second: 100, misses_per_minute: 60, bytes_per_second: 33554432}}
`

// attacked is a service process, its honest clients and what the attackers know.
type attacked struct {
	t      *testing.T
	dir    string
	ca     *devca.CA
	alice  access.Token
	target attack.Target
	honest []*attack.Honest
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	s := &testService{t: t, dir: t.TempDir()} // for its files only
	ca, err := devca.New("attack")
	s.must("CA", err)
	s.serverPair(ca)
	s.write("ca.crt", ca.PEM())
	s.write("password", []byte("password"))
	alice, mallory := freshToken(t), freshToken(t)
	carol, malloryKey := s.signatureKey("carol"), s.signatureKey("mallory")
	secret, err := signature.NewSecret(rand.Reader)
	s.must("secret", err)
	forger, err := signature.HMACSigningKey("carol", secret)
	s.must("signing key", err)
	file := s.write("userinfo.yaml", fmt.Appendf(nil, attackConfig, "sessions:get, sessions:set, sessions:touch, sessions:delete",
		alice.HashText(), mallory.HashText()))
	a := &attacked{t: t, dir: s.dir, ca: ca, alice: alice}
	other, err := devca.New("another")
	s.must("CA", err)
	bob, _ := s.clientPair(ca, "bob")
	forged, _ := s.clientPair(other, "bob")
	a.target = attack.Target{
		Address: a.start(file), Roots: ca.Pool(), Path: "/sessions/v1", Victim: "alice%3Avictim", Size: testLargeValue,
		Token: mallory, Signer: malloryKey, Forger: signature.Signer{Key: forger}, Chain: longChain(t), Forged: forged,
	}
	a.honest = []*attack.Honest{
		{Name: "alice", Client: a.client(false), Authorize: func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Bearer "+string(alice)) }},
		{Name: "bob", Client: a.client(true, bob)}, // a connection for each request, as PHP makes them
		{Name: "carol", Client: a.client(false), Authorize: func(r *http.Request, body []byte) { s.must("signing", carol.Sign(r, body)) }},
	}
	return a
}

// testLargeValue is the size of large values, the largest that the collection accepts.
const testLargeValue = 1 << 20

func (a *attacked) client(fresh bool, certificates ...tls.Certificate) *http.Client {
	t := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: a.ca.Pool(), Certificates: certificates, ServerName: "localhost"},
		ForceAttemptHTTP2: true, DisableKeepAlives: fresh,
	}
	a.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// start starts the service in a process of its own, with tables in memory, and returns its address.
func (a *attacked) start(file string) string {
	a.t.Helper()
	log, err := os.Create(filepath.Join(a.dir, "log"))
	if err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command("userinfo-memory", "serve", file)
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), "GOGC=20") // so that memory that is free is soon seen to be free
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if a.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			a.t.Logf("the service logged, without its audit records:\n%s", withoutAudit(string(text)))
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			a.t.Errorf("the service ended with %v", err)
		}
	})
	const before = `"address":"`
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		if _, rest, found := strings.Cut(string(text), before); err == nil && found {
			address, _, _ := strings.Cut(rest, `"`)
			return address
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("the service does not start:\n%s", text)
		}
	}
}

// withoutAudit returns the lines of a log that are no audit records, without the end of a long log.
func withoutAudit(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"msg":"audit"`) && b.Len() < 20_000 {
			b.WriteString(line)
		}
	}
	return b.String()
}

// longChain returns a certificate with attackIssuers certificates above it, none of a CA that the service knows.
func longChain(t *testing.T) (chain tls.Certificate) {
	t.Helper()
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for i := range attackIssuers + 1 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("issuer %d", i)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: i < attackIssuers, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if parent == nil {
			parent, parentKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
		chain.Certificate = append([][]byte{der}, chain.Certificate...)
	}
	chain.PrivateKey = parentKey
	return chain
}

// resources returns what the process holds.
type resources struct {
	goroutines, files, heap, panics float64
	bounds                          string // metrics of connections and handshakes
}

// metrics asks for /metrics, again if the machine is too busy to send a request before the service closes the connection.
func (a *attacked) metrics() io.ReadCloser {
	a.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "https://"+a.target.Address+"/metrics", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+string(a.alice))
	for end := time.Now().Add(patience); ; {
		res, err := a.client(true).Do(request)
		if err == nil {
			return res.Body
		}
		if time.Now().After(end) {
			a.t.Fatal(err)
		}
	}
}

func (a *attacked) resources() (r resources) {
	a.t.Helper()
	body := a.metrics()
	defer func() { _ = body.Close() }()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, _ := strconv.ParseFloat(text, 64)
		switch name {
		case "go_goroutines":
			r.goroutines = value
		case "process_open_fds":
			r.files = value
		case "go_memstats_heap_alloc_bytes":
			r.heap = value
		default:
			if strings.HasPrefix(name, "userinfo_panics_total") {
				r.panics += value
			}
			if value > 0 && (strings.HasPrefix(name, "userinfo_connections") || strings.HasPrefix(name, "userinfo_handshakes")) {
				r.bounds += lines.Text() + " "
			}
		}
	}
	if r.goroutines == 0 || r.files == 0 || r.heap == 0 {
		a.t.Fatalf("/metrics shows %+v", r)
	}
	return r
}

// set sets the values that attackers and honest clients expect.
func (a *attacked) set(key string, token access.Token, body string) {
	a.t.Helper()
	request, err := http.NewRequest(http.MethodPut, "https://"+a.target.Address+a.target.Path+"/"+key, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	res, err := a.client(true).Do(request)
	if err != nil || res.StatusCode != http.StatusNoContent {
		a.t.Fatalf("%+v, %v", res, err)
	}
	_ = res.Body.Close()
}

// TestAttack_AllAtOnceHarmsNobody runs every attack of package attack at once: one client with its own credentials, and
// strangers. The three other clients must see no error, nobody may get in, no value may be lost, and afterwards the process
// must hold no more than before. It judges no time.
func TestAttack_AllAtOnceHarmsNobody(t *testing.T) {
	duration := attackDuration
	if text := os.Getenv("ATTACK_FOR"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("ATTACK_FOR: %v", err)
		}
	}
	a := newAttacked(t)
	for _, h := range a.honest {
		h.Patient = duration == attackDuration // in the long form, the machine must be idle
	}
	a.set(a.target.Victim, a.alice, "victim")
	a.set("mallory%3Asmall", a.target.Token, "small")
	a.set("mallory%3Alarge", a.target.Token, strings.Repeat("x", testLargeValue))
	before := a.resources()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	outcomes, attacksEnded := attack.Run(ctx, &a.target)
	var clients sync.WaitGroup
	for _, h := range a.honest {
		clients.Go(func() { h.Use(ctx, &a.target) })
	}
	began := time.Now()
	for missing := []string{""}; len(missing) > 0 || time.Since(began) < duration; time.Sleep(10 * time.Millisecond) {
		if missing = attack.Missing(outcomes); time.Since(began) > duration+patience {
			t.Errorf("these attacks did not reach their bound: %q", missing)
			break
		}
	}
	during := a.resources()
	stop()
	clients.Wait()
	attacksEnded()

	for _, h := range a.honest {
		if h.CheckKept(); len(h.Errors) > 0 {
			t.Errorf("%s: %d of %d requests failed, the first: %s", h.Name, len(h.Errors), h.Sent, h.Errors[0])
		}
		t.Logf("%s: %d requests, %d errors, %d late", h.Name, h.Sent, len(h.Errors), h.Late)
	}
	for name, o := range outcomes {
		if n := o.Served(); n > 0 {
			t.Errorf("%s: %d requests were served: %s", name, n, o)
		}
		t.Logf("%s: %s", name, o)
	}
	a.checkReturned(before, during)
}

// checkReturned waits until the process holds about what it held before the attacks: the honest clients keep a few
// connections and their values.
func (a *attacked) checkReturned(before, during resources) {
	a.t.Helper()
	const moreHeap = 24 << 20
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		after := a.resources()
		if after.goroutines <= before.goroutines+20 && after.files <= before.files+10 && after.heap <= before.heap+moreHeap {
			a.t.Logf("before %+v\nduring %+v\nafter  %+v", before, during, after)
			if after.panics > 0 {
				a.t.Errorf("%v panics", after.panics)
			}
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("the process does not return to what it held before:\nbefore %+v\nduring %+v\nafter  %+v", before, during, after)
		}
	}
}
