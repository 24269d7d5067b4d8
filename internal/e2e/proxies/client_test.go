//go:build integration

package proxies

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// request is a request of a client, and who the client is.
type request struct {
	from   string                 // the client's address; default: away
	cert   string                 // name of the client's certificate; empty: none
	token  bool                   // sends mediawiki's token
	before string                 // bytes sent before the TLS handshake
	fields []string               // header lines, sent unchanged
	path   string                 // default: /sessions/v1/k
	raw    string                 // sent over TLS instead of a request
	resume tls.ClientSessionCache // TLS sessions to resume
}

// response is what a client receives. Status is 0 if the connection failed.
type response struct {
	Status  int
	resumed bool
	err     error
}

// send sends one HTTP/1.1 request on a new connection. It writes the request itself, because a library would correct
// malformed requests.
func (env *environment) send(t *testing.T, address string, r request) response {
	t.Helper()
	if r.from == "" {
		r.from = away
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(r.from)}, Timeout: 10 * time.Second}
	raw, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, r.before); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: env.servers.Pool(), ServerName: "userinfo.example", NextProtos: []string{"http/1.1"}, ClientSessionCache: r.resume}
	if r.cert != "" {
		pair := env.pair(t, r.cert)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	c := tls.Client(raw, config)
	if _, err := io.WriteString(c, r.text()); err != nil {
		return response{err: err}
	}
	got, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return response{err: err}
	}
	_ = got.Body.Close()
	return response{Status: got.StatusCode, resumed: c.ConnectionState().DidResume}
}

// text returns the request as it is sent.
func (r request) text() string {
	if r.raw != "" {
		return r.raw
	}
	if r.path == "" {
		r.path = "/sessions/v1/k"
	}
	lines := []string{fmt.Sprintf("GET %s HTTP/1.1", r.path), "Host: userinfo.example", "Connection: close"}
	if r.token {
		lines = append(lines, "Authorization: Bearer "+token)
	}
	return strings.Join(append(lines, r.fields...), "\r\n") + "\r\n\r\n"
}

// expect sends a request and checks the status and the client that the service saw. Client "" is an unidentified client. It
// returns the request as the service saw it.
func (env *environment) expect(t *testing.T, v *service, address string, r request, status int, client string) record {
	t.Helper()
	a := env.send(t, address, r)
	seen := v.last(t)
	if a.Status != status || seen.Client != client {
		t.Errorf("status %d (%v), the service saw client %q; want %d and client %q", a.Status, a.err, seen.Client, status, client)
	}
	return seen
}

// expectNoOtherClient sends a request and checks that it is rejected or attributed to the client's own certificate.
func (env *environment) expectNoOtherClient(t *testing.T, v *service, address string, r request) {
	t.Helper()
	a := env.send(t, address, r)
	seen := v.last(t)
	if rejected := a.Status == badRequest && seen.Client == ""; !rejected && (a.Status != ok || seen.Client != r.cert) {
		t.Errorf("status %d (%v), the service saw %+v; want client %s or status 400", a.Status, a.err, seen, r.cert)
	}
}
