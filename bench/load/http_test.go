package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"userinfo/internal/devca"
)

const key = "enwiki:MWSession:a/b~ü +"

func TestHTTP_SendsMediaWikisRequests(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := newServer(t, nil)
			c := s.config()
			c.HTTP2 = protocol == "HTTP/2.0"
			c.Header = s.file("token.header")
			if err := os.WriteFile(c.Header, []byte("Authorization: Bearer x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			conn := dial(t, c)
			do(t, conn, Request{Method: Set, Key: key, Value: bytes.Repeat([]byte("v"), 5000), TTL: 60})
			do(t, conn, Request{Method: Get, Key: key})
			do(t, conn, Request{Method: Touch, Key: key, TTL: 3600})
			do(t, conn, Request{Method: Delete, Key: key})
			do(t, conn, Request{Method: Get, Key: key, Absent: true})
			path := "/sessions/v1/enwiki%3AMWSession%3Aa%2Fb~%C3%BC%20%2B"
			var want []string
			for _, r := range []string{"PUT %s TTL=60", "GET %s TTL=", "PATCH %s TTL=3600", "DELETE %s TTL=", "GET %s TTL="} {
				want = append(want, protocol+" "+fmt.Sprintf(r, path)+" Bearer x")
			}
			if !slices.Equal(s.requests, want) {
				t.Errorf("requests were\n%s\nwant\n%s", strings.Join(s.requests, "\n"), strings.Join(want, "\n"))
			}
			if opened, _ := s.connections(); opened != 1 {
				t.Errorf("five requests opened %d connections", opened)
			}
		})
	}
}

func TestHTTP_SetCanBePOST(t *testing.T) {
	s := newServer(t, nil)
	c := s.config()
	c.Set = "POST"
	do(t, dial(t, c), Request{Method: Set, Key: "k", Value: []byte("v")})
	if want := "HTTP/1.1 POST /sessions/v1/k TTL= "; !slices.Equal(s.requests, []string{want}) {
		t.Errorf("requests were %q", s.requests)
	}
}

func TestCheckStatus_ExpectsAnswerOfMethod(t *testing.T) {
	for name, c := range map[string]struct {
		request Request
		ok      []int
	}{
		"get":         {Request{Method: Get}, []int{200}},
		"get, absent": {Request{Method: Get, Absent: true}, []int{404}},
		"set":         {Request{Method: Set}, []int{200, 201, 204}},
		"touch":       {Request{Method: Touch}, []int{200, 204}},
		"delete":      {Request{Method: Delete}, []int{200, 204, 205, 404, 410}},
	} {
		for _, status := range []int{200, 201, 202, 204, 205, 404, 410, 429, 503} {
			err := checkStatus(&c.request, status, 5)
			if ok := err == nil; ok != slices.Contains(c.ok, status) {
				t.Errorf("%s, answered %d: %v", name, status, err)
			}
		}
	}
	if err := checkStatus(&Request{Method: Get, Length: 5}, 404, 9); !errors.Is(err, NotFound) {
		t.Errorf("a get that finds nothing: %v", err)
	}
	if err := checkStatus(&Request{Method: Get, Absent: true}, 200, 5); !errors.Is(err, Found) {
		t.Errorf("a get that finds what should be absent: %v", err)
	}
}

func TestHTTP_ValueOfOtherLengthIsFailure(t *testing.T) {
	for _, length := range []int{100, 5000} {
		for _, http2 := range []bool{false, true} {
			s := newServer(t, nil)
			c := s.config()
			c.HTTP2 = http2
			conn := dial(t, c)
			do(t, conn, Request{Method: Set, Key: "k", Value: bytes.Repeat([]byte("v"), length)})
			for _, other := range []int{length - 1, length + 1} {
				if err := conn.Do(t.Context(), &Request{Method: Get, Key: "k", Length: other}); !errors.Is(err, OtherLength) {
					t.Errorf("HTTP/2 %t: %d bytes instead of %d: %v", http2, length, other, err)
				}
			}
			do(t, conn, Request{Method: Get, Key: "k", Length: length})
			if opened, _ := s.connections(); opened != 1 {
				t.Errorf("HTTP/2 %t: %d connections: a failure has closed one", http2, opened)
			}
		}
	}
}

func TestHTTP_FreshOpensConnectionForEachRequest(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP2=%t,resume=%t", http2, resume), func(t *testing.T) {
				s := newServer(t, nil)
				c := s.config()
				c.Fresh, c.HTTP2, c.Resume = true, http2, resume
				conn := dial(t, c)
				do(t, conn, Request{Method: Set, Key: "k", Value: []byte("v")})
				do(t, conn, Request{Method: Get, Key: "k"})
				do(t, conn, Request{Method: Get, Key: "k"})
				want := 0
				if resume {
					want = 2
				}
				if opened, resumed := s.connections(); opened != 3 || resumed != want {
					t.Errorf("%d connections, %d resumed; want 3, %d", opened, resumed, want)
				}
			})
		}
	}
}

func TestHTTP_ShowsClientCertificate(t *testing.T) {
	s := newServer(t, func(s *server) { s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, s.ca.Pool() })
	c := s.config()
	if err := dial(t, c).Do(t.Context(), &Request{Method: Get, Key: "k"}); Reason(err) != reasonConnection {
		t.Errorf("without a certificate: %v", err)
	}
	if _, _, err := s.ca.Write(s.dir, "client", devca.Leaf{CommonName: "wiki", Client: true}); err != nil {
		t.Fatal(err)
	}
	c.Certificate, c.Key = s.file("client.crt"), s.file("client.key")
	do(t, dial(t, c), Request{Method: Get, Key: "k", Absent: true})
}

func TestHTTP_RejectsServerOfOtherCA(t *testing.T) {
	s, other := newServer(t, nil), newServer(t, nil)
	c := s.config()
	c.CA = other.file("ca.crt")
	var unknown *tls.CertificateVerificationError
	if err := dial(t, c).Do(t.Context(), &Request{Method: Get, Key: "k"}); !errors.As(err, &unknown) {
		t.Errorf("the error is %v", err)
	}
}

func TestHTTP_KeepsConnectionAfterFailure(t *testing.T) {
	s := newServer(t, nil)
	conn := dial(t, s.config())
	if err := conn.Do(t.Context(), &Request{Method: Get, Key: "k"}); !errors.Is(err, NotFound) {
		t.Fatalf("a get that finds nothing: %v", err)
	}
	do(t, conn, Request{Method: Get, Key: "k", Absent: true})
	if opened, _ := s.connections(); opened != 1 {
		t.Errorf("%d connections", opened)
	}
}

func TestHTTP_ReopensConnectionThatServerCloses(t *testing.T) {
	s := newServer(t, func(s *server) { s.Config.SetKeepAlivesEnabled(false) })
	conn := dial(t, s.config())
	for range 3 {
		do(t, conn, Request{Method: Get, Key: "k", Absent: true})
	}
	if opened, _ := s.connections(); opened != 3 {
		t.Errorf("%d connections", opened)
	}
}

func TestHTTP_SilentServerIsTimeout(t *testing.T) {
	t.Parallel() // it takes Patience
	over := make(chan struct{})
	s := newServer(t, func(s *server) { s.store.before = func(int, *Request) error { <-over; return nil } })
	err := dial(t, s.config()).Do(t.Context(), &Request{Method: Get, Key: "k"})
	close(over)
	if Reason(err) != reasonTimeout {
		t.Errorf("the error is %v", err)
	}
}

func TestHTTP_UsesUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{store: &fakeStore{}}
	h := &http.Server{Handler: http.HandlerFunc(s.serve)}
	go func() { _ = h.Serve(l) }()
	t.Cleanup(func() { h.Close() })
	for _, fresh := range []bool{false, true} {
		conn := dial(t, HTTPConfig{URL: "http://sidecar/sessions/v1/", Socket: socket, Fresh: fresh})
		do(t, conn, Request{Method: Set, Key: "k", Value: []byte("v")})
		do(t, conn, Request{Method: Get, Key: "k"})
	}
}

func TestNewHTTP_RejectsBadConfiguration(t *testing.T) {
	const good = "https://h/s/"
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]HTTPConfig{
		"must begin with https":        {URL: "ftp://h/s/"},
		"or http://host":               {URL: "//h/"},
		"must end in a slash":          {URL: "https://h/s"},
		"no user":                      {URL: "https://h/s/?q"},
		"need https://":                {URL: "http://h/", HTTP2: true},
		"only new connections":         {URL: good, Resume: true},
		"PUT or POST":                  {URL: good, Set: "PATCH"},
		"is not a header line":         {URL: good, Header: bad},
		"has no PEM certificate":       {URL: good, CA: bad},
		"both certificate= and key=":   {URL: good, Certificate: bad},
		"reading certificate=" + bad:   {URL: good, Certificate: bad, Key: bad},
		"reading header=: open absent": {URL: good, Header: "absent"},
	} {
		_, err := NewHTTP(c)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v; want %q in it", c.URL, err, want)
		}
	}
}

func TestNewHTTP_SendsNoHeaderInClearText(t *testing.T) {
	header := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(header, []byte("Authorization: Bearer secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://h/", "http://10.0.0.1:8081/", "http://localhost.example/", "http://[fd00::1]/"} {
		_, err := NewHTTP(HTTPConfig{URL: url, Header: header})
		if err == nil || !strings.Contains(err.Error(), "use https://") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, c := range []HTTPConfig{
		{URL: "http://h/"}, {URL: "https://h/", Header: header}, {URL: "http://h/", Header: header, Socket: "/run/sidecar"},
		{URL: "http://localhost:8081/", Header: header}, {URL: "http://127.0.0.2:8081/", Header: header}, {URL: "http://[::1]:8081/", Header: header},
	} {
		if _, err := NewHTTP(c); err != nil {
			t.Errorf("%s by socket %q: %v", c.URL, c.Socket, err)
		}
	}
}

func TestReason_IsShort(t *testing.T) {
	for want, err := range map[string]error{
		"503":        fmt.Errorf("setting: %w", Failure("503")),
		"timeout":    fmt.Errorf("waiting: %w", context.DeadlineExceeded),
		"connection": io.ErrUnexpectedEOF,
	} {
		if got := Reason(err); got != want {
			t.Errorf("the reason of %v is %q", err, got)
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	s := newServer(b, nil)
	conn := dial(b, s.config())
	do(b, conn, Request{Method: Set, Key: "k", Value: make([]byte, 2048)})
	for b.Loop() {
		do(b, conn, Request{Method: Get, Key: "k", Length: 2048})
	}
}
