package tlsconf_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func newCA(t *testing.T, name string) *devca.CA {
	t.Helper()
	ca, err := devca.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *devca.CA, leaf devca.Leaf) (certPEM, keyPEM []byte) {
	t.Helper()
	certPEM, keyPEM, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, keyPEM
}

func pair(t *testing.T, ca *devca.CA, leaf devca.Leaf) *tls.Certificate {
	t.Helper()
	certPEM, keyPEM := issue(t, ca, leaf)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// dir is a temporary directory whose files are named by their base names.
type dir struct {
	t    *testing.T
	root string
}

func newDir(t *testing.T) dir { return dir{t, t.TempDir()} }

func (d dir) path(name string) string { return filepath.Join(d.root, name) }

func (d dir) write(name string, contents ...[]byte) string {
	d.t.Helper()
	var all []byte
	for _, c := range contents {
		all = append(all, c...)
	}
	if err := os.WriteFile(d.path(name), all, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

// serverFiles issues a certificate for loopback and writes server.crt and server.key.
func (d dir) serverFiles(ca *devca.CA) tlsconf.ServerFiles {
	d.t.Helper()
	certPEM, keyPEM := issue(d.t, ca, devca.Loopback())
	return tlsconf.ServerFiles{Certificate: d.write("server.crt", certPEM), Key: d.write("server.key", keyPEM)}
}

// reloadable is a Server that is replaced when its files change, as the service does it.
type reloadable[T any] struct {
	current atomic.Pointer[T]
	changed func(*T) (bool, error)
	load    func() (*T, error)
}

// reload replaces the loaded value if its files have changed.
func (r *reloadable[T]) reload() (changed bool, err error) {
	if changed, err = r.changed(r.current.Load()); !changed {
		return false, err
	}
	next, err := r.load()
	if err != nil {
		return false, err
	}
	r.current.Store(next)
	return true, nil
}

func (r *reloadable[T]) mustReload(t *testing.T) {
	t.Helper()
	if changed, err := r.reload(); err != nil || !changed {
		t.Fatalf("reload() = %v, %v; want true, nil", changed, err)
	}
}

func mustLoad[T any](t *testing.T, changed func(*T) (bool, error), load func() (*T, error)) *reloadable[T] {
	t.Helper()
	first, err := load()
	if err != nil {
		t.Fatal(err)
	}
	r := &reloadable[T]{changed: changed, load: load}
	r.current.Store(first)
	return r
}

// server is a reloadable Server and the configuration of its listener.
type server struct{ *reloadable[tlsconf.Server] }

func newServer(t *testing.T, f tlsconf.ServerFiles) server {
	t.Helper()
	return newServerAt(t, f, time.Now)
}

func newServerAt(t *testing.T, f tlsconf.ServerFiles, now func() time.Time) server {
	t.Helper()
	return server{mustLoad(t, (*tlsconf.Server).Changed, func() (*tlsconf.Server, error) { return tlsconf.LoadServer(f, now) })}
}

func (s server) config() *tls.Config { return tlsconf.ListenerConfig(s.current.Load) }

// clock is a clock that the test advances.
type clock struct{ offset atomic.Int64 }

func newClock() *clock { return new(clock) }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// wantFieldError checks that err is a *FieldError of field and contains all words.
func wantFieldError(t *testing.T, err error, field string, words ...string) {
	t.Helper()
	var fe *tlsconf.FieldError
	if !errors.As(err, &fe) {
		t.Fatalf("error %v; want a *FieldError for %s", err, field)
	}
	if fe.Field != field {
		t.Errorf("error %q is for field %q, want %q", err, fe.Field, field)
	}
	for _, word := range append(words, field+": ") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not contain %q", err, word)
		}
	}
}

// seen is what the server saw of a connection, and what the client saw of the server.
type seen struct {
	Proto   string // HTTP version
	Peer    string // common name of the client's certificate, or empty
	Resumed bool
	Server  string // serial number of the server's certificate
}

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// limited returns l with limited handshakes.
func limited(l net.Listener) net.Listener {
	return tlsconf.NewHandshakes(prometheus.NewRegistry()).Listener(l)
}

// serve runs an HTTPS server on loopback. It answers every request with what it saw.
func serve(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		TLSConfig:   config,
		ConnContext: withConn,
		ErrorLog:    log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := seen{Proto: r.Proto, Resumed: r.TLS.DidResume}
			if chains := tlsconf.VerifiedChains(r.Context().Value(connKey{}).(net.Conn)); len(chains) > 0 {
				s.Peer = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			_ = json.NewEncoder(w).Encode(s) // the client sees a failure
		}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.ServeTLS(limited(listener), "", ""); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("test server: %v", err)
			_ = listener.Close()
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String()
}

// client returns a client configuration. It presents certificate, if any, even if the server lists other CAs.
func client(ca *devca.CA, certificate *tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: ca.Pool()}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	return config
}

// connection returns an HTTP client that keeps its connection open.
func connection(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func get(c *http.Client, address string) (seen, error) {
	response, err := c.Get("https://" + address + "/")
	if err != nil {
		return seen{}, err
	}
	defer response.Body.Close()
	var s seen
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return seen{}, err
	}
	s.Server = response.TLS.PeerCertificates[0].SerialNumber.String()
	return s, nil
}

// request makes one request on a new connection.
func request(t *testing.T, address string, config *tls.Config) (seen, error) {
	t.Helper()
	c := connection(t, config)
	defer c.CloseIdleConnections()
	return get(c, address)
}

func mustRequest(t *testing.T, address string, config *tls.Config) seen {
	t.Helper()
	s, err := request(t, address, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake connects and waits for one byte from the server. In TLS 1.3 the server rejects a certificate only after the
// client has finished its handshake.
func handshake(address string, config *tls.Config) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); n == 0 {
		return err
	}
	return nil
}

// wantRefused checks that the server rejects the client with an alert that contains why.
func wantRefused(t *testing.T, address string, config *tls.Config, why string) {
	t.Helper()
	err := handshake(address, config)
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: "+why) {
		t.Errorf("error %v; want the server's alert %q", err, why)
	}
}

func wiki() devca.Leaf { return devca.Leaf{CommonName: "wiki", Client: true} }

func cached(config *tls.Config) *tls.Config {
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return config
}

// pemDER returns the DER of the first certificate in text.
func pemDER(text []byte) []byte {
	block, _ := pem.Decode(text)
	return block.Bytes
}
