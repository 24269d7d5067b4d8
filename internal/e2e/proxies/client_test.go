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

// who is a client and what it says.
type who struct {
	from   string                 // its address; away if empty
	cert   string                 // whose certificate it presents; none if empty
	token  bool                   // it has mediawiki's
	before string                 // what it says before TLS
	fields []string               // header fields, exactly so
	path   string                 // /sessions/v1/k if empty
	raw    string                 // all of what it says over TLS, instead of a request
	resume tls.ClientSessionCache // of its TLS sessions
}

// answer is what a client gets; Status is 0 where the connection failed.
type answer struct {
	Status  int
	resumed bool
	err     error
}

// ask sends one request of HTTP/1.1 on a connection of its own. It is written by hand: no library may mend it.
func (w *world) ask(t *testing.T, address string, who who) answer {
	t.Helper()
	if who.from == "" {
		who.from = away
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(who.from)}, Timeout: 10 * time.Second}
	raw, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, who.before); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: w.servers.Pool(), ServerName: "userinfo.example", NextProtos: []string{"http/1.1"}, ClientSessionCache: who.resume}
	if who.cert != "" {
		pair := w.pair(t, who.cert)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	c := tls.Client(raw, config)
	if _, err := io.WriteString(c, who.request()); err != nil {
		return answer{err: err}
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return answer{err: err}
	}
	_ = response.Body.Close()
	return answer{Status: response.StatusCode, resumed: c.ConnectionState().DidResume}
}

func (who who) request() string {
	if who.raw != "" {
		return who.raw
	}
	if who.path == "" {
		who.path = "/sessions/v1/k"
	}
	lines := []string{fmt.Sprintf("GET %s HTTP/1.1", who.path), "Host: userinfo.example", "Connection: close"}
	if who.token {
		lines = append(lines, "Authorization: Bearer "+token)
	}
	return strings.Join(append(lines, who.fields...), "\r\n") + "\r\n\r\n"
}

// want asks, and compares what the client gets and what the service saw. A client "" is nobody.
func (w *world) want(t *testing.T, v *service, address string, who who, status int, client string) record {
	t.Helper()
	a := w.ask(t, address, who)
	seen := v.last(t)
	if a.Status != status || seen.Client != client {
		t.Errorf("status %d (%v), of %q at the service; want %d of %q", a.Status, a.err, seen.Client, status, client)
	}
	return seen
}

// wantNobodyElse asks, and wants the client to be refused or to be itself.
func (w *world) wantNobodyElse(t *testing.T, v *service, address string, who who) {
	t.Helper()
	a := w.ask(t, address, who)
	seen := v.last(t)
	if refused := a.Status == badRequest && seen.Client == ""; !refused && (a.Status != ok || seen.Client != who.cert) {
		t.Errorf("status %d (%v), %+v; want it to be %s or 400", a.Status, a.err, seen, who.cert)
	}
}
