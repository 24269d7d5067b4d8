package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/devca"
)

// rotated is a service under load, whose files and configuration a test replaces. Clients of three kinds ask all the time, on
// kept connections and on new ones; every answer but 200 is counted.
type rotated struct {
	*service
	t       *testing.T
	dir     string
	address string
	log     syncBuffer

	servers, clients       *devca.CA // that sign now
	trusted                atomic.Pointer[x509.CertPool]
	token                  atomic.Pointer[access.Token]
	certificate            atomic.Pointer[tls.Certificate]
	signer                 atomic.Pointer[signature.Signer]
	byToken, byCert, bySig load
}

// syncBuffer may be written and read at once.
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

// load is the requests of one kind of client.
type load struct {
	good  atomic.Int64
	mu    sync.Mutex
	wrong []string
}

const rotatedConfig = `listen: 127.0.0.1:0
tls: {certificate: DIR/server.crt, key: DIR/server.key, client_ca: DIR/clients.crt, crls: [DIR/crl], denied_certificates: DIR/denied}
cassandra: {hosts: [127.0.0.1], local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt}}
collections: [{name: sessions, layout: kask}]
shutdown: {drain: 0s}
audit: {key_file: DIR/audit.key}
`

// rules are the part of the configuration that is read again.
func (w *rotated) rules(tokens, networks, keys, proxies string) string {
	return strings.ReplaceAll(rotatedConfig, "DIR", w.dir) + fmt.Sprintf(`proxies: {proxy_protocol: [%s]}
audiences:
  sessions: [{token: true, network: [%[2]s]}, {certificate: true, network: [%[2]s]}, {signed: true, network: [%[2]s]}]
clients:
  - {name: t, grants: [sessions:get], keys: ["*"], tokens: [%[3]s]}
  - {name: c, grants: [sessions:get, sessions:set], keys: ["*"], certificates: [{cn: c}]}
  - {name: s, grants: [sessions:get], keys: ["*"], signature_keys: [%[4]s]}
`, proxies, networks, tokens, keys)
}

// write replaces a file as an operator should: beside it, and then moved there.
func (w *rotated) write(name string, text []byte) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func (w *rotated) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
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

// serverPair writes a new certificate of the service by ca.
func (w *rotated) serverPair(ca *devca.CA) {
	w.t.Helper()
	cert, key, err := ca.Issue(devca.Loopback())
	w.must("server certificate", err)
	w.write("server.key", key) // a key alone is not used, and the next look has both
	w.write("server.crt", cert)
}

func (w *rotated) clientPair(ca *devca.CA, name string) (tls.Certificate, []byte) {
	w.t.Helper()
	cert, key, err := ca.Issue(devca.Leaf{CommonName: name, Client: true})
	w.must("client certificate", err)
	pair, err := tls.X509KeyPair(cert, key)
	w.must("client certificate", err)
	return pair, cert
}

// signatureKey writes a secret's file and gives who signs with it.
func (w *rotated) signatureKey(id string) signature.Signer {
	w.t.Helper()
	secret, err := signature.NewSecret(rand.Reader)
	w.must("secret", err)
	w.write(id+".key", []byte(secret.Text()))
	key, err := signature.HMACSigningKey(id, secret)
	w.must("signing key", err)
	return signature.Signer{Key: key}
}

func (w *rotated) crl(revoked ...[]byte) {
	w.t.Helper()
	text, err := w.clients.CRL(time.Now().Add(time.Hour), revoked...)
	w.must("CRL", err)
	w.write("crl", text)
}

func (w *rotated) auditKeyFile() {
	w.t.Helper()
	k, err := access.NewAuditKey(rand.Reader)
	w.must("audit key", err)
	w.write("audit.key", []byte(k.Text()))
}

func newRotated(t *testing.T) *rotated {
	t.Helper()
	w := &rotated{t: t, dir: t.TempDir()}
	var err error
	w.servers, err = devca.New("servers")
	w.must("CA", err)
	w.clients, err = devca.New("clients")
	w.must("CA", err)
	w.serverPair(w.servers)
	w.write("ca.crt", w.servers.PEM()) // of Cassandra, which is not used
	w.write("password", []byte("password"))
	w.write("clients.crt", w.clients.PEM())
	w.write("denied", nil)
	w.crl()
	w.auditKeyFile()
	w.trusted.Store(w.servers.Pool())
	token := freshToken(t)
	w.token.Store(&token)
	pair, _ := w.clientPair(w.clients, "c")
	w.certificate.Store(&pair)
	signer := w.signatureKey("s-1")
	w.signer.Store(&signer)
	file := w.write("userinfo.yaml", []byte(w.rules("{sha256: "+token.HashText()+"}", "127.0.0.0/8", "{id: s-1, file: "+w.dir+"/s-1.key}", "")))

	o, err := openConfig(file)
	w.must("configuration", err)
	w.service = newService(o, &w.log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must("listen", err)
	w.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.serve(ctx, l, memoryTables(1<<20)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// transport is a new connection with a certificate or without.
func (w *rotated) transport(certificate *tls.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: w.trusted.Load()}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
}

// begin has clients of one kind ask until ctx ends. prepare adds the credential to a request, and tells with which
// certificate it goes.
func (w *rotated) begin(ctx context.Context, all *sync.WaitGroup, l *load, prepare func(*http.Request) (*tls.Certificate, error)) {
	for worker := range 2 {
		all.Go(func() {
			var kept *http.Transport
			var of *tls.Certificate
			for n := 0; ctx.Err() == nil; n++ {
				status, err := func() (int, error) {
					r, err := http.NewRequest("GET", "https://"+w.address+"/sessions/v1/k", nil)
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
						kept, of = w.transport(certificate), certificate
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
					l.good.Add(1)
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

// settle waits until each kind of client has been answered so often again that all its connections have been used.
func (w *rotated) settle() {
	w.t.Helper()
	for _, l := range []*load{&w.byToken, &w.byCert, &w.bySig} {
		from, deadline := l.good.Load(), time.Now().Add(patience)
		for l.good.Load() < from+20 {
			l.mu.Lock()
			wrong := len(l.wrong)
			l.mu.Unlock()
			if wrong > 0 || time.Now().After(deadline) {
				w.t.Fatalf("only %d were answered since; wrong are %d: %.500s", l.good.Load()-from, wrong, l.wrong)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// now reads everything again, as SIGHUP does, and fails the test where something cannot be used.
func (w *rotated) now(step string) {
	w.t.Helper()
	w.reloader.Reload(true)
	if log := w.log.String(); strings.Contains(log, "reload failed") {
		w.t.Fatalf("%s: %s", step, log)
	}
	w.settle()
}

func TestEverythingRotatesUnderLoadWithoutARefusedRequest(t *testing.T) {
	w := newRotated(t)
	w.fillKey()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	w.begin(ctx, &all, &w.byToken, func(r *http.Request) (*tls.Certificate, error) {
		r.Header.Set("Authorization", "Bearer "+string(*w.token.Load()))
		return nil, nil
	})
	w.begin(ctx, &all, &w.byCert, func(*http.Request) (*tls.Certificate, error) { return w.certificate.Load(), nil })
	w.begin(ctx, &all, &w.bySig, func(r *http.Request) (*tls.Certificate, error) { return nil, w.signer.Load().Sign(r, nil) })
	t.Cleanup(func() { stop(); all.Wait() })
	w.settle()

	// The service's certificate, and then its CA: clients trust both before, and the new one alone after.
	w.serverPair(w.servers)
	w.now("server certificate")
	next, err := devca.New("next servers")
	w.must("CA", err)
	both := w.servers.Pool()
	both.AppendCertsFromPEM(next.PEM())
	w.trusted.Store(both)
	w.settle()
	w.serverPair(next)
	w.now("server certificate of another CA")

	// The clients' CA, with its revocation list: both, then the clients' certificates, then the new one alone.
	nextClients, err := devca.New("next clients")
	w.must("CA", err)
	w.write("clients.crt", append(w.clients.PEM(), nextClients.PEM()...))
	w.now("both client CAs")
	former := w.certificate.Load()
	pair, _ := w.clientPair(nextClients, "c")
	w.certificate.Store(&pair)
	w.settle()
	w.clients = nextClients
	w.crl()
	w.write("clients.crt", nextClients.PEM())
	w.now("the next client CA alone")
	if res, err := w.transport(former).RoundTrip(w.get()); err == nil && res.StatusCode != 401 {
		t.Errorf("a certificate of the CA that was taken away: %d", res.StatusCode)
	}

	// Revocations of somebody else, by list and by CA; whoever is revoked is refused on the connection they have.
	denied, deniedPEM := w.clientPair(nextClients, "c")
	revoked, revokedPEM := w.clientPair(nextClients, "c")
	onDenied, onRevoked := w.transport(&denied), w.transport(&revoked)
	t.Cleanup(onDenied.CloseIdleConnections)
	t.Cleanup(onRevoked.CloseIdleConnections)
	w.want("before", onDenied, 200)
	w.want("before", onRevoked, 200)
	block, _ := pem.Decode(deniedPEM)
	parsed, err := x509.ParseCertificate(block.Bytes)
	w.must("certificate", err)
	w.write("denied", fmt.Appendf(nil, "serial=%X\n", parsed.SerialNumber))
	w.now("deny list")
	w.want("denied", onDenied, 401)
	w.want("not denied", onRevoked, 200)
	w.crl(revokedPEM)
	w.now("CRL")
	w.want("revoked", onRevoked, 401)

	// Tokens, signature keys and networks: both, then what clients have, then the new one alone.
	one, two := *w.token.Load(), freshToken(t)
	hash := func(t access.Token, networks string) string { return "{sha256: " + t.HashText() + networks + "}" }
	const narrow, wide = ", networks: [127.0.0.1/32]", ", networks: [127.0.0.1/32, 127.0.0.0/8]"
	key := func(id string) string { return "{id: " + id + ", file: " + w.dir + "/" + id + ".key}" }
	signer := w.signatureKey("s-2")
	w.write("userinfo.yaml", []byte(w.rules(hash(one, "")+", "+hash(two, wide), "127.0.0.0/8, 127.0.0.1/32", key("s-1")+", "+key("s-2"), "")))
	w.now("both tokens, keys and networks")
	w.token.Store(&two)
	w.signer.Store(&signer)
	w.settle()
	w.write("userinfo.yaml", []byte(w.rules(hash(two, narrow), "127.0.0.1/32", key("s-2"), "{network: 192.0.2.7/32}")))
	w.now("the new token, key and network alone, and a proxy")
	r := w.get()
	r.Header.Set("Authorization", "Bearer "+string(one))
	if res, err := w.transport(nil).RoundTrip(r); err != nil || res.StatusCode != 401 {
		t.Errorf("the former token: %v %v", res, err)
	}
	former401 := w.get()
	w.must("signing", (signature.Signer{Key: w.signer.Load().Key, Now: func() time.Time { return time.Now().Add(-time.Hour) }}).Sign(former401, nil))
	if res, err := w.transport(nil).RoundTrip(former401); err != nil || res.StatusCode != 401 {
		t.Errorf("an old signature: %v %v", res, err)
	}

	// The audit key.
	w.auditKeyFile()
	w.now("audit key")

	stop()
	all.Wait()
	for name, l := range map[string]*load{"token": &w.byToken, "certificate": &w.byCert, "signature": &w.bySig} {
		if len(l.wrong) > 0 {
			t.Errorf("by %s: %d refused of %d: %.500s", name, len(l.wrong), int(l.good.Load())+len(l.wrong), l.wrong)
		}
		t.Logf("by %s: %d answered, %d refused", name, l.good.Load(), len(l.wrong))
	}
}

// fillKey sets the value that everybody asks for.
func (w *rotated) fillKey() {
	w.t.Helper()
	r := w.get()
	r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(strings.NewReader("value")), 5
	res, err := w.transport(w.certificate.Load()).RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusNoContent {
		w.t.Fatalf("setting the value: %v %v", res, err)
	}
}

func (w *rotated) get() *http.Request {
	r, err := http.NewRequest("GET", "https://"+w.address+"/sessions/v1/k", nil)
	w.must("request", err)
	return r
}

// want asks on a connection that is kept.
func (w *rotated) want(step string, on *http.Transport, status int) {
	w.t.Helper()
	res, err := on.RoundTrip(w.get())
	if err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != status {
		w.t.Errorf("%s: %d (%v); want %d", step, res.StatusCode, err, status)
	}
}

func TestAProxySaysWhereARequestComesFromAndTheRecordWhoSaidIt(t *testing.T) {
	w := newRotated(t)
	token := *w.token.Load()
	rules := w.rules("{sha256: "+token.HashText()+", networks: [192.0.2.9/32]}", "192.0.2.0/24", "{id: s-1, file: "+w.dir+"/s-1.key}", "{network: 127.0.0.1/32, mode: optional}")
	w.write("userinfo.yaml", []byte(rules))
	w.reloader.Reload(true)
	for _, test := range []struct {
		name, header string
		status       int
		address      string
	}{
		{"from where the token is good", "PROXY TCP4 192.0.2.9 127.0.0.1 4711 8443\r\n", 404, ""},
		{"from elsewhere in the audience", "PROXY TCP4 192.0.2.8 127.0.0.1 4711 8443\r\n", 401, "192.0.2.8"},
		{"from the proxy itself", "", 401, "127.0.0.1"},
	} {
		transport := w.transport(nil)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = io.WriteString(c, test.header)
			}
			return c, err
		}
		r := w.get()
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
		if record := `"peer":"127.0.0.1","address":"` + test.address + `"`; test.address != "" && !strings.Contains(w.log.String(), record) {
			t.Errorf("%s: there is no record with %s:\n%s", test.name, record, w.log.String())
		}
	}
	if n := strings.Count(w.log.String(), `"msg":"audit"`); n != 2 {
		t.Errorf("%d audit records; want 2", n)
	}
}
