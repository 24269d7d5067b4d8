package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/internal/devca"
	"userinfo/internal/panics"
	"userinfo/store"
)

// testService is a service in this process, with clients of three kinds that send requests all the time, on kept and on new
// connections. A test replaces its files and its configuration. Every response except 200 is recorded.
type testService struct {
	*service
	t       *testing.T
	dir     string
	address string
	log     syncBuffer
	stop    func() // waits until the service has stopped

	servers, clients       *devca.CA // that sign now
	trusted                atomic.Pointer[x509.CertPool]
	token                  atomic.Pointer[access.Token]
	certificate            atomic.Pointer[tls.Certificate]
	signer                 atomic.Pointer[signature.Signer]
	byToken, byCert, bySig requestCount
}

// syncBuffer is a buffer that is safe for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// requestCount counts the responses to one kind of client.
type requestCount struct {
	good  [2]atomic.Int64 // of each of two goroutines
	mu    sync.Mutex
	wrong []string
}

const testServiceConfig = `listen: 127.0.0.1:0
tls: {certificate: DIR/server.crt, key: DIR/server.key, client_ca: DIR/clients.crt, crls: [DIR/crl], denied_certificates: DIR/denied}
cassandra: {hosts: [127.0.0.1], local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt}}
collections: [{name: sessions, layout: kask}]
shutdown: {drain: 0s}
audit: {key_file: DIR/audit.key}
`

// rules returns a configuration with these clients, networks and proxies.
func (s *testService) rules(tokens, networks, keys, proxies string) string {
	return strings.ReplaceAll(testServiceConfig, "DIR", s.dir) + fmt.Sprintf(`proxies: {proxy_protocol: [%s]}
audiences:
  health: [{allow: true}]
  metrics: [{token: true}]
  sessions: [{token: true, network: [%[2]s]}, {certificate: true, network: [%[2]s]}, {signed: true, network: [%[2]s]}]
clients:
  - {name: t, grants: [sessions:get, metrics:get], keys: ["*"], tokens: [%[3]s]}
  - {name: c, grants: [sessions:get, sessions:set], keys: ["*"], certificates: [{cn: c}]}
  - {name: s, grants: [sessions:get], keys: ["*"], signature_keys: [%[4]s]}
`, proxies, networks, tokens, keys)
}

// write replaces a file as an operator should: it writes a new file beside it and renames it.
func (s *testService) write(name string, text []byte) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func (s *testService) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

func freshToken(t *testing.T) access.Token {
	t.Helper()
	token, err := access.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// serverPair writes a new certificate of the service, signed by ca.
func (s *testService) serverPair(ca *devca.CA) {
	s.t.Helper()
	cert, key, err := ca.Issue(devca.Loopback())
	s.must("server certificate", err)
	s.write("server.key", key) // a key alone is not used, and the next look has both
	s.write("server.crt", cert)
}

func (s *testService) clientPair(ca *devca.CA, name string) (tls.Certificate, []byte) {
	s.t.Helper()
	cert, key, err := ca.Issue(devca.Leaf{CommonName: name, Client: true})
	s.must("client certificate", err)
	pair, err := tls.X509KeyPair(cert, key)
	s.must("client certificate", err)
	return pair, cert
}

// signatureKey writes the file of a new secret and returns a signer that uses it.
func (s *testService) signatureKey(id string) signature.Signer {
	s.t.Helper()
	secret, err := signature.NewSecret(rand.Reader)
	s.must("secret", err)
	s.write(id+".key", []byte(secret.Text()))
	key, err := signature.HMACSigningKey(id, secret)
	s.must("signing key", err)
	return signature.Signer{Key: key}
}

func (s *testService) crl(revoked ...[]byte) {
	s.t.Helper()
	text, err := s.clients.CRL(time.Now().Add(time.Hour), revoked...)
	s.must("CRL", err)
	s.write("crl", text)
}

func (s *testService) auditKeyFile() {
	s.t.Helper()
	k, err := access.NewAuditKey(rand.Reader)
	s.must("audit key", err)
	s.write("audit.key", []byte(k.Text()))
}

// newTestService starts a service with tables in memory.
func newTestService(t *testing.T) *testService {
	t.Helper()
	return startTestService(t, func(s *testService, ctx context.Context, l net.Listener) error {
		return s.serveTables(ctx, l, memoryTables(1<<20))
	})
}

// startTestService starts a service with serve. The service stops at the end of the test, or when the test calls stop.
func startTestService(t *testing.T, serve func(*testService, context.Context, net.Listener) error) *testService {
	t.Helper()
	return startEditedService(t, func(_ *testService, config string) string { return config }, serve)
}

// startEditedService is startTestService with a configuration that edit has changed.
func startEditedService(t *testing.T, edit func(s *testService, config string) string, serve func(*testService, context.Context, net.Listener) error) *testService {
	t.Helper()
	s := &testService{t: t, dir: t.TempDir()}
	var err error
	s.servers, err = devca.New("servers")
	s.must("CA", err)
	s.clients, err = devca.New("clients")
	s.must("CA", err)
	s.serverPair(s.servers)
	s.write("ca.crt", s.servers.PEM()) // of Cassandra, which is not used
	s.write("password", []byte("password"))
	s.write("clients.crt", s.clients.PEM())
	s.write("denied", nil)
	s.crl()
	s.auditKeyFile()
	s.trusted.Store(s.servers.Pool())
	token := freshToken(t)
	s.token.Store(&token)
	pair, _ := s.clientPair(s.clients, "c")
	s.certificate.Store(&pair)
	signer := s.signatureKey("s-1")
	s.signer.Store(&signer)
	file := s.write("userinfo.yaml", []byte(edit(s, s.rules("{sha256: "+token.HashText()+"}", "127.0.0.0/8", "{id: s-1, file: "+s.dir+"/s-1.key}", ""))))

	o, err := openConfig(file)
	s.must("configuration", err)
	s.service, err = newService(o, &s.log)
	s.must("service", err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must("listen", err)
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(s, ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.logs.close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// logText returns everything that was logged before the call.
func (s *testService) logText() string {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n, _ := s.logs.standard.Unwritten()
		if n+s.logs.audit.Unwritten() == 0 {
			return s.log.String()
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d records of the log are not written", n)
		}
	}
}

// transport returns a client with new connections and, optionally, a certificate.
func (s *testService) transport(certificate *tls.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: s.trusted.Load()}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
}

// startClients sends requests of one kind of client until ctx ends. prepare adds the credential to a request, and returns
// the certificate of its connection.
func (s *testService) startClients(ctx context.Context, all *sync.WaitGroup, l *requestCount, prepare func(*http.Request) (*tls.Certificate, error)) {
	for worker := range l.good {
		all.Go(func() {
			var kept *http.Transport
			var of *tls.Certificate
			for n := 0; ctx.Err() == nil; n++ {
				status, err := func() (int, error) {
					r, err := http.NewRequest("GET", "https://"+s.address+"/sessions/v1/k", nil)
					if err != nil {
						return 0, err
					}
					certificate, err := prepare(r)
					if err != nil {
						return 0, err
					}
					if kept == nil || certificate != of || worker == 0 && n%5 == 4 {
						if kept != nil {
							kept.CloseIdleConnections()
						}
						kept, of = s.transport(certificate), certificate
					}
					res, err := kept.RoundTrip(r)
					if err != nil {
						return 0, err
					}
					defer res.Body.Close()
					_, err = io.Copy(io.Discard, res.Body)
					return res.StatusCode, err
				}()
				if err == nil && status == http.StatusOK {
					l.good[worker].Add(1)
					continue
				}
				l.mu.Lock()
				l.wrong = append(l.wrong, fmt.Sprint(status, " ", err))
				l.mu.Unlock()
			}
			if kept != nil {
				kept.CloseIdleConnections()
			}
		})
	}
}

// waitForRequests waits until each goroutine of each kind of client has got so many responses that it has made a new
// connection, and that none of its requests has a credential that was read before.
func (s *testService) waitForRequests() {
	s.t.Helper()
	for _, l := range []*requestCount{&s.byToken, &s.byCert, &s.bySig} {
		for worker := range l.good {
			s.waitForWorker(l, worker)
		}
	}
}

func (s *testService) waitForWorker(l *requestCount, worker int) {
	s.t.Helper()
	good := &l.good[worker]
	from, deadline := good.Load(), time.Now().Add(patience)
	for good.Load() < from+10 {
		l.mu.Lock()
		wrong := len(l.wrong)
		l.mu.Unlock()
		if wrong > 0 || time.Now().After(deadline) {
			s.t.Fatalf("only %d were answered since; wrong are %d: %.500s", good.Load()-from, wrong, l.wrong)
		}
		time.Sleep(time.Millisecond)
	}
}

// reload reads all files, as SIGHUP does, and fails the test if a file cannot be used.
func (s *testService) reload(step string) {
	s.t.Helper()
	s.reloader.Reload(true)
	if log := s.logText(); strings.Contains(log, "reload failed") {
		s.t.Fatalf("%s: %s", step, log)
	}
	s.waitForRequests()
}

func TestService_RotatesEverythingWithoutRefusedRequest(t *testing.T) {
	s := newTestService(t)
	s.setValue()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	s.startClients(ctx, &all, &s.byToken, func(r *http.Request) (*tls.Certificate, error) {
		r.Header.Set("Authorization", "Bearer "+string(*s.token.Load()))
		return nil, nil
	})
	s.startClients(ctx, &all, &s.byCert, func(*http.Request) (*tls.Certificate, error) { return s.certificate.Load(), nil })
	s.startClients(ctx, &all, &s.bySig, func(r *http.Request) (*tls.Certificate, error) { return nil, s.signer.Load().Sign(r, nil) })
	t.Cleanup(func() { stop(); all.Wait() })
	s.waitForRequests()

	// The service's certificate, and then its CA. Clients trust both CAs before the change, and only the new CA after it.
	s.serverPair(s.servers)
	s.reload("server certificate")
	next, err := devca.New("next servers")
	s.must("CA", err)
	both := s.servers.Pool()
	both.AppendCertsFromPEM(next.PEM())
	s.trusted.Store(both)
	s.waitForRequests()
	s.serverPair(next)
	s.reload("server certificate of another CA")

	// The clients' CA, with its revocation list: both CAs, then new client certificates, then only the new CA.
	nextClients, err := devca.New("next clients")
	s.must("CA", err)
	s.write("clients.crt", append(s.clients.PEM(), nextClients.PEM()...))
	s.reload("both client CAs")
	former := s.certificate.Load()
	pair, _ := s.clientPair(nextClients, "c")
	s.certificate.Store(&pair)
	s.waitForRequests()
	s.clients = nextClients
	s.crl()
	s.write("clients.crt", nextClients.PEM())
	s.reload("the next client CA alone")
	if res, err := s.transport(former).RoundTrip(s.get()); err == nil && res.StatusCode != 401 {
		t.Errorf("a certificate of the CA that was taken away: %d", res.StatusCode)
	}

	// Revocations of other certificates, by deny list and by CRL. A revoked client is refused on its open connection.
	denied, deniedPEM := s.clientPair(nextClients, "c")
	revoked, revokedPEM := s.clientPair(nextClients, "c")
	onDenied, onRevoked := s.transport(&denied), s.transport(&revoked)
	t.Cleanup(onDenied.CloseIdleConnections)
	t.Cleanup(onRevoked.CloseIdleConnections)
	s.want("before", onDenied, 200)
	s.want("before", onRevoked, 200)
	block, _ := pem.Decode(deniedPEM)
	parsed, err := x509.ParseCertificate(block.Bytes)
	s.must("certificate", err)
	s.write("denied", fmt.Appendf(nil, "serial=%X\n", parsed.SerialNumber))
	s.reload("deny list")
	s.want("denied", onDenied, 401)
	s.want("not denied", onRevoked, 200)
	s.crl(revokedPEM)
	s.reload("CRL")
	s.want("revoked", onRevoked, 401)

	// Tokens, signature keys and networks: both, then new credentials of the clients, then only the new ones.
	one, two := *s.token.Load(), freshToken(t)
	hash := func(t access.Token, networks string) string { return "{sha256: " + t.HashText() + networks + "}" }
	const narrow, wide = ", networks: [127.0.0.1/32]", ", networks: [127.0.0.1/32, 127.0.0.0/8]"
	key := func(id string) string { return "{id: " + id + ", file: " + s.dir + "/" + id + ".key}" }
	signer := s.signatureKey("s-2")
	s.write("userinfo.yaml", []byte(s.rules(hash(one, "")+", "+hash(two, wide), "127.0.0.0/8, 127.0.0.1/32", key("s-1")+", "+key("s-2"), "")))
	s.reload("both tokens, keys and networks")
	s.token.Store(&two)
	s.signer.Store(&signer)
	s.waitForRequests()
	s.write("userinfo.yaml", []byte(s.rules(hash(two, narrow), "127.0.0.1/32", key("s-2"), "{network: 192.0.2.7/32}")))
	s.reload("the new token, key and network alone, and a proxy")
	r := s.get()
	r.Header.Set("Authorization", "Bearer "+string(one))
	if res, err := s.transport(nil).RoundTrip(r); err != nil || res.StatusCode != 401 {
		t.Errorf("the former token: %v %v", res, err)
	}
	former401 := s.get()
	s.must("signing", (signature.Signer{Key: s.signer.Load().Key, Now: func() time.Time { return time.Now().Add(-time.Hour) }}).Sign(former401, nil))
	if res, err := s.transport(nil).RoundTrip(former401); err != nil || res.StatusCode != 401 {
		t.Errorf("an old signature: %v %v", res, err)
	}

	// The audit key.
	s.auditKeyFile()
	s.reload("audit key")

	stop()
	all.Wait()
	for name, l := range map[string]*requestCount{"token": &s.byToken, "certificate": &s.byCert, "signature": &s.bySig} {
		if len(l.wrong) > 0 {
			t.Errorf("by %s: %d refused: %.500s", name, len(l.wrong), l.wrong)
		}
		t.Logf("by %s: %d and %d answered, %d refused", name, l.good[0].Load(), l.good[1].Load(), len(l.wrong))
	}
}

// setValue sets the value that all clients read.
func (s *testService) setValue() {
	s.t.Helper()
	r := s.get()
	r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(strings.NewReader("value")), 5
	res, err := s.transport(s.certificate.Load()).RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusNoContent {
		s.t.Fatalf("setting the value: %v %v", res, err)
	}
}

func (s *testService) get() *http.Request {
	r, err := http.NewRequest("GET", "https://"+s.address+"/sessions/v1/k", nil)
	s.must("request", err)
	return r
}

// want sends a request on a kept connection and checks its status.
func (s *testService) want(step string, on *http.Transport, status int) {
	s.t.Helper()
	res, err := on.RoundTrip(s.get())
	if err != nil {
		s.t.Fatalf("%s: %v", step, err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != status {
		s.t.Errorf("%s: %d (%v); want %d", step, res.StatusCode, err, status)
	}
}

func TestService_TakesAddressFromProxyAndRecordsProxy(t *testing.T) {
	s := newTestService(t)
	token := *s.token.Load()
	rules := s.rules("{sha256: "+token.HashText()+", networks: [192.0.2.9/32]}", "192.0.2.0/24", "{id: s-1, file: "+s.dir+"/s-1.key}", "{network: 127.0.0.1/32, mode: optional}")
	s.write("userinfo.yaml", []byte(rules))
	s.reloader.Reload(true)
	for _, test := range []struct {
		name, header string
		status       int
		address      string
	}{
		{"from where the token is good", "PROXY TCP4 192.0.2.9 127.0.0.1 4711 8443\r\n", 404, ""},
		{"from elsewhere in the audience", "PROXY TCP4 192.0.2.8 127.0.0.1 4711 8443\r\n", 401, "192.0.2.8"},
		{"from the proxy itself", "", 401, "127.0.0.1"},
	} {
		transport := s.transport(nil)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = io.WriteString(c, test.header)
			}
			return c, err
		}
		r := s.get()
		r.Header.Set("Authorization", "Bearer "+string(token))
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		_ = res.Body.Close()
		transport.CloseIdleConnections()
		if res.StatusCode != test.status {
			t.Errorf("%s: %d; want %d", test.name, res.StatusCode, test.status)
		}
		if record := `"peer":"127.0.0.1","address":"` + test.address + `"`; test.address != "" && !strings.Contains(s.logText(), record) {
			t.Errorf("%s: there is no record with %s:\n%s", test.name, record, s.logText())
		}
	}
	if n := strings.Count(s.logText(), `"msg":"audit"`); n != 2 {
		t.Errorf("%d audit records; want 2", n)
	}
}

// TestService_RequestNeverSeesHalfAReload changes two settings in each reload, the name of a client and the audit key, while
// requests run. Each audit record must have the name and the key of the same reload.
func TestService_RequestNeverSeesHalfAReload(t *testing.T) {
	s := newTestService(t)
	token := *s.token.Load()
	original := s.rules("{sha256: "+token.HashText()+"}", "127.0.0.0/8", "{id: s-1, file: "+s.dir+"/s-1.key}", "")
	keyOf := make(map[string]access.AuditKey) // by the name of the client
	for _, name := range []string{"first", "second"} {
		k, err := access.NewAuditKey(rand.Reader)
		s.must("audit key", err)
		keyOf[name] = k
	}
	use := func(name string) {
		s.write("userinfo.yaml", []byte(strings.Replace(original, "name: t,", "name: "+name+",", 1)))
		s.write("audit.key", []byte(keyOf[name].Text()))
		s.reloader.Reload(true)
	}
	use("first")

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var denied atomic.Int64
	for range 4 {
		all.Go(func() {
			transport := s.transport(nil)
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				r := s.get()
				r.Method = http.MethodDelete // not granted
				r.Header.Set("Authorization", "Bearer "+string(token))
				res, err := transport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusForbidden {
					t.Errorf("status %d, want 403", res.StatusCode)
					return
				}
				denied.Add(1)
			}
		})
	}
	for i := range 30 {
		use([]string{"second", "first"}[i%2])
		for from := denied.Load(); denied.Load() < from+8 && !t.Failed(); {
			time.Sleep(100 * time.Microsecond)
		}
	}
	stop()
	all.Wait()

	seen := make(map[string]int)
	for line := range strings.Lines(s.logText()) {
		var record struct{ Msg, Client, Key string }
		if json.Unmarshal([]byte(line), &record) != nil || record.Msg != "audit" {
			continue
		}
		if id, _, _ := strings.Cut(record.Key, ":"); id != keyOf[record.Client].ID() {
			t.Fatalf("client %q has a hash by another reload's audit key: %s", record.Client, line)
		}
		seen[record.Client]++
	}
	if seen["first"] < 100 || seen["second"] < 100 {
		t.Errorf("audit records by client: %v", seen)
	}
}

func TestService_NotBeforeLogsEverybodyOut(t *testing.T) {
	s := newTestService(t)
	client := s.transport(s.certificate.Load())
	s.setValue()
	s.want("a session", client, http.StatusOK)
	text, err := os.ReadFile(filepath.Join(s.dir, "userinfo.yaml"))
	s.must("configuration", err)
	rule := fmt.Sprintf("layout: kask, not_before: [{time: %s}]}", time.Now().UTC().Format(time.RFC3339Nano))
	s.write("userinfo.yaml", []byte(strings.Replace(string(text), "layout: kask}", rule, 1)))
	s.reloader.Reload(true)
	s.want("everybody is logged out", client, http.StatusNotFound)
	s.setValue()
	s.want("a new session", client, http.StatusOK)
	s.write("userinfo.yaml", text)
	s.reloader.Reload(true)
	s.want("without the rule", client, http.StatusOK)
}

func TestService_ReloadsAfterPanic(t *testing.T) {
	s := newTestService(t)
	synctest.Test(t, func(t *testing.T) {
		running, calls := false, 0
		now := func() time.Time {
			if !running {
				return time.Now()
			}
			if calls++; calls == 1 {
				panic("once")
			}
			return time.Now()
		}
		r := config.NewReloader(s.config, config.Options{Now: now, Log: s.service.log, Registry: prometheus.NewRegistry()})
		running = true
		stop := s.inBackground(t.Context(), panics.Reload, func(ctx context.Context) { r.Run(ctx, nil) })
		time.Sleep(panics.Pause + 3*config.ReloadInterval)
		stop()
		if calls < 2 {
			t.Errorf("the clock was read %d times: no reload followed the panic", calls)
		}
	})
}

// TestService_SilentConnectionsDisplaceNoClient is an attack on the whole service: 2,000 TCP connections that send nothing, from
// 20 addresses. The shares of addresses and of unauthenticated connections hold, and clients are served on new connections.
func TestService_SilentConnectionsDisplaceNoClient(t *testing.T) {
	const total, unauthenticated, perAddress, addresses, each = 40, 20, 10, 20, 100
	s := startTestService(t, func(s *testService, ctx context.Context, l net.Listener) error {
		c := &s.config.Limits
		c.MaxConnections, c.MaxUnauthenticatedConnections, c.MaxConnectionsPerAddress = total, unauthenticated, perAddress
		return s.serveTables(ctx, l, memoryTables(1<<20))
	})
	for n := range addresses {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 5, byte(n+1))}}
		for range each {
			c, err := from.Dial("tcp", s.address)
			s.must("dial", err)
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	evicted := func() map[string]float64 {
		families, err := s.registry.Gather()
		s.must("metrics", err)
		counts := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "userinfo_connections_evicted_total" {
					counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		return counts
	}
	for range 20 {
		if status, body, _ := s.ask("GET", "/sessions/v1/k", false); status != http.StatusNotFound {
			t.Errorf("a client on a new connection: %d %s", status, body)
		}
	}
	// Not all silent connections are evicted: each is closed after some seconds anyway.
	if n := evicted(); n["address"] == 0 || n["unauthenticated"] == 0 || n["total"] > 0 || n["client"] > 0 {
		t.Errorf("evicted: %v", n)
	}
}

func TestService_OpensBothTablesOfAMove(t *testing.T) {
	c, err := devConfig(t.TempDir(), devOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Collections[0].ReadThrough = "values"
	opened, err := (&config.File{Config: c}).Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(opened, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.logs.closeLogs(&err)
	tables := make(map[string]*store.Memory)
	_, err = s.openCollections(func(c store.CollectionConfig) store.Rows {
		tables[c.Table] = store.NewMemory(1<<20, time.Now)
		return tables[c.Table]
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const key = "enwiki:MWSession:1"
	if err := tables["values"].Write(t.Context(), key, []byte("set by Kask"), time.Now().UnixMicro(), time.Hour); err != nil {
		t.Fatal(err)
	}
	caller := func(action access.Action) access.Caller {
		t.Helper()
		caller, err := accesstest.Caller("wiki", "sessions", action, key)
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	sessions := backendCollection{s.backend, 0}
	if v, err := sessions.Get(t.Context(), caller(access.Get), key); err != nil || string(v.Data) != "set by Kask" {
		t.Errorf("a value of Kask: got %q, %v", v.Data, err)
	}
	if err := sessions.Set(t.Context(), caller(access.Set), key, []byte("newer"), time.Minute); err != nil {
		t.Error(err)
	}
	if row, err := tables["sessions"].Read(t.Context(), key); err != nil || row.Data != nil {
		t.Errorf("the sealed table has the session key in clear (%v)", err)
	}
	if err := sessions.Delete(t.Context(), caller(access.Delete), key); err != nil {
		t.Error(err)
	}
	if row, err := tables["values"].Read(t.Context(), key); err != nil || row.Data != nil || !row.Deleted {
		t.Errorf("Kask's table still has the value: %v, it has the marker: %v (%v)", row.Data != nil, row.Deleted, err)
	}
	if _, err := sessions.Get(t.Context(), caller(access.Get), key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the delete: %v", err)
	}
}
