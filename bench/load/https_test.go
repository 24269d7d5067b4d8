package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"userinfo/internal/devca"
)

const key = "enwiki:MWSession:a/b~ü"

func TestRequestsAreMediaWikis(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := newSite(t, func(s *site) { s.EnableHTTP2 = true })
			c := s.config()
			c.Header = [][2]string{{"Authorization", "Bearer x"}}
			c.HTTP2 = protocol == "HTTP/2.0"
			conn := dial(t, c)
			value := bytes.Repeat([]byte("v"), 5000)
			do(t, conn, Op{Method: Set, Key: key, Value: value, TTL: 60})
			do(t, conn, Op{Method: Get, Key: key})
			do(t, conn, Op{Method: Touch, Key: key, TTL: 3600})
			do(t, conn, Op{Method: Delete, Key: key})
			do(t, conn, Op{Method: Get, Key: key, Absent: true})
			path := "/sessions/v1/enwiki%3AMWSession%3Aa%2Fb~%C3%BC"
			var want []string
			for _, r := range []string{"PUT %s TTL=60", "GET %s TTL=", "PATCH %s TTL=3600", "DELETE %s TTL=", "GET %s TTL="} {
				want = append(want, protocol+" "+fmt.Sprintf(r, path)+" Bearer x")
			}
			if !slices.Equal(s.asked(), want) {
				t.Errorf("the server was asked\n%s\nwant\n%s", strings.Join(s.asked(), "\n"), strings.Join(want, "\n"))
			}
			if news, _ := s.count(); news != 1 {
				t.Errorf("%d connections were made for five requests", news)
			}
		})
	}
}

func TestAKasksSetIsAPost(t *testing.T) {
	s := newSite(t, nil)
	c := s.config()
	c.Set = "POST"
	do(t, dial(t, c), Op{Method: Set, Key: "k", Value: []byte("v")})
	if want := "HTTP/1.1 POST /sessions/v1/k TTL= "; !slices.Equal(s.asked(), []string{want}) {
		t.Errorf("the server was asked %q", s.asked())
	}
}

func TestAnAnswerIsJudgedByWhatWasAsked(t *testing.T) {
	statuses := []int{200, 201, 202, 204, 205, 404, 410, 429, 503}
	for name, c := range map[string]struct {
		op Op
		ok []int
	}{
		"get":                {Op{Method: Get}, []int{200}},
		"get of what is not": {Op{Method: Get, Absent: true}, []int{404}},
		"set":                {Op{Method: Set}, []int{200, 201, 204}},
		"touch":              {Op{Method: Touch}, []int{200, 204}},
		"delete":             {Op{Method: Delete}, []int{200, 204, 205, 404, 410}},
	} {
		for _, status := range statuses {
			err := verdict(&c.op, status, 5)
			if ok := err == nil; ok != slices.Contains(c.ok, status) {
				t.Errorf("%s, answered %d: %v", name, status, err)
			}
		}
	}
	if err := verdict(&Op{Method: Get, Length: 5}, 404, 9); !errors.Is(err, NotFound) {
		t.Errorf("a get that finds nothing is %v", err)
	}
	if err := verdict(&Op{Method: Get, Absent: true}, 200, 5); !errors.Is(err, Found) {
		t.Errorf("a get that finds what should not be is %v", err)
	}
}

func TestAGetOfAnotherLengthIsAFailure(t *testing.T) {
	for _, length := range []int{100, 5000} { // net/http sends the longer one in chunks
		for _, http2 := range []bool{false, true} {
			s := newSite(t, func(s *site) { s.EnableHTTP2 = true })
			c := s.config()
			c.HTTP2 = http2
			conn := dial(t, c)
			do(t, conn, Op{Method: Set, Key: "k", Value: bytes.Repeat([]byte("v"), length)})
			for _, other := range []int{length - 1, length + 1} {
				if err := conn.Do(t.Context(), &Op{Method: Get, Key: "k", Length: other}); err == nil || Reason(err) != "length" {
					t.Errorf("HTTP/2 %t: %d bytes in place of %d: %v", http2, length, other, err)
				}
			}
			do(t, conn, Op{Method: Get, Key: "k", Length: length})
			do(t, conn, Op{Method: Get, Key: "k"})
			if news, _ := s.count(); news != 1 {
				t.Errorf("HTTP/2 %t: %d connections: a failure has broken one", http2, news)
			}
		}
	}
}

func TestHeadersAreNotSentInTheClear(t *testing.T) {
	header := [][2]string{{"Authorization", "Bearer secret"}}
	for _, url := range []string{"http://h/", "http://10.0.0.1:8081/", "http://localhost.example/", "http://[fd00::1]/"} {
		_, err := NewHTTPS(HTTPSConfig{URL: url, Header: header})
		if err == nil || !strings.Contains(err.Error(), "use https://") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, c := range []HTTPSConfig{
		{URL: "http://h/"},
		{URL: "https://h/", Header: header},
		{URL: "http://h/", Header: header, Socket: "/run/sidecar"},
		{URL: "http://localhost:8081/", Header: header},
		{URL: "http://127.0.0.2:8081/", Header: header},
		{URL: "http://[::1]:8081/", Header: header},
	} {
		if _, err := NewHTTPS(c); err != nil {
			t.Errorf("%s by socket %q: %v", c.URL, c.Socket, err)
		}
	}
}

func TestErrorsHaveShortReasons(t *testing.T) {
	for want, err := range map[string]error{
		"503":        fmt.Errorf("setting: %w", Failure("503")),
		"timeout":    fmt.Errorf("waiting: %w", context.DeadlineExceeded),
		"connection": io.ErrUnexpectedEOF,
	} {
		if got := Reason(err); got != want {
			t.Errorf("%v is counted under %q", err, got)
		}
	}
}

func TestAFreshConnectionIsMadeForEachRequest(t *testing.T) {
	for name, change := range map[string]func(*HTTPSConfig){
		"HTTP/1.1":         func(*HTTPSConfig) {},
		"HTTP/1.1 resumed": func(c *HTTPSConfig) { c.Resume = true },
		"HTTP/2":           func(c *HTTPSConfig) { c.HTTP2 = true },
		"HTTP/2 resumed":   func(c *HTTPSConfig) { c.HTTP2, c.Resume = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(s *site) { s.EnableHTTP2 = true })
			c := s.config()
			c.Fresh = true
			change(&c)
			conn := dial(t, c)
			do(t, conn, Op{Method: Set, Key: "k", Value: []byte("v")})
			do(t, conn, Op{Method: Get, Key: "k"})
			before, _ := conn.Wire()
			do(t, conn, Op{Method: Get, Key: "k"})
			if after, _ := conn.Wire(); after <= before {
				t.Errorf("sent %d bytes, and %d after another request", before, after)
			}
			resumed := 0
			if c.Resume {
				resumed = 2
			}
			if news, got := s.count(); news != 3 || got != resumed {
				t.Errorf("%d connections, %d resumed; want 3, %d", news, got, resumed)
			}
		})
	}
}

func TestAClientsCertificateIsShown(t *testing.T) {
	s := newSite(t, func(s *site) { s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, s.ca.Pool() })
	c := s.config()
	c.Fresh = true
	if err := dial(t, c).Do(t.Context(), &Op{Method: Get, Key: "k"}); Reason(err) != connection {
		t.Errorf("without a certificate: %v", err)
	}
	c.TLS.Certificates = []tls.Certificate{issue(t, s.ca, devca.Leaf{CommonName: "wiki", Client: true})}
	do(t, dial(t, c), Op{Method: Get, Key: "k", Absent: true})
}

func TestTheServerMustBeTrusted(t *testing.T) {
	s, other := newSite(t, nil), newSite(t, nil)
	c := s.config()
	c.TLS = other.config().TLS
	d, err := NewHTTPS(c)
	if err != nil {
		t.Fatal(err)
	}
	var unknown *tls.CertificateVerificationError
	if _, err := d.Dial(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("a certificate of another CA: %v", err)
	}
}

func TestAKeptConnectionGoesOnAfterAFailure(t *testing.T) {
	s := newSite(t, nil)
	conn := dial(t, s.config())
	if err := conn.Do(t.Context(), &Op{Method: Get, Key: "k"}); !errors.Is(err, NotFound) {
		t.Fatalf("a get of nothing: %v", err)
	}
	do(t, conn, Op{Method: Get, Key: "k", Absent: true})
	if news, _ := s.count(); news != 1 {
		t.Errorf("%d connections", news)
	}
}

func TestAConnectionThatItsServerClosesIsMadeAgain(t *testing.T) {
	s := newSite(t, func(s *site) { s.Config.SetKeepAlivesEnabled(false) })
	conn := dial(t, s.config())
	for range 3 {
		do(t, conn, Op{Method: Get, Key: "k", Absent: true})
	}
	if news, _ := s.count(); news != 3 {
		t.Errorf("%d connections", news)
	}
}

func TestAServerThatSaysNothingIsATimeout(t *testing.T) {
	t.Parallel() // for Patience
	over := make(chan struct{})
	s := newSite(t, func(s *site) { s.store.takes = func(int, *Op) error { <-over; return nil } })
	conn := dial(t, s.config())
	err := conn.Do(t.Context(), &Op{Method: Get, Key: "k"})
	close(over)
	if Reason(err) != timeout {
		t.Errorf("no answer: %v", err)
	}
}

func TestASidecarIsAskedWithoutTLS(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{store: &fakeStore{}}
	server := &http.Server{Handler: http.HandlerFunc(s.serve)}
	go func() { _ = server.Serve(l) }() // until closed
	t.Cleanup(func() { server.Close() })
	for _, fresh := range []bool{false, true} {
		conn := dial(t, HTTPSConfig{URL: "http://sidecar/sessions/v1/", Socket: socket, Fresh: fresh})
		do(t, conn, Op{Method: Set, Key: "k", Value: []byte("v")})
		do(t, conn, Op{Method: Get, Key: "k"})
	}
}

// A request of some kilobytes is one Write, and the bytes counted are those that the other side has seen.
func TestTheWireIsCountedBelowTLS(t *testing.T) {
	d, err := NewHTTPS(HTTPSConfig{URL: "http://h/"})
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	c := newHTTPConn(d.(*httpsDialer))
	c.wire = newWire(&c.count)
	c.wire.use(here)
	c.conn = c.wire
	c.in.Reset(c.conn)
	const said = "HTTP/1.1 204 No Content\r\n\r\n"
	var heard []byte
	go func() {
		buffer := make([]byte, 1<<16)
		n, _ := there.Read(buffer) // a pipe's Read is of one Write
		heard = buffer[:n]
		_, _ = io.WriteString(there, said)
	}()
	do(t, c, Op{Method: Set, Key: "k", Value: bytes.Repeat([]byte("v"), 5000), TTL: 9})
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(heard)))
	if err != nil {
		t.Fatalf("the first Write is no request: %v", err)
	}
	if body, err := io.ReadAll(r.Body); err != nil || len(body) != 5000 || r.Header.Get("TTL") != "9" || r.Host != "h" {
		t.Errorf("heard %d bytes (%v) of %+v", len(body), err, r)
	}
	if sent, received := c.Wire(); sent != int64(len(heard)) || received != int64(len(said)) {
		t.Errorf("counted %d and %d bytes, of %d and %d", sent, received, len(heard), len(said))
	}
}

func TestAConfigurationThatCannotBeAskedIsRefused(t *testing.T) {
	const good = "https://h/s/"
	for name, c := range map[string]HTTPSConfig{
		"must begin with https":   {URL: "ftp://h/s/"},
		"http://host":             {URL: "//h/"},
		"end in a slash":          {URL: "https://h/s"},
		"no user":                 {URL: "https://h/s/?q"},
		"neither TLS nor HTTP/2":  {URL: "http://h/", HTTP2: true},
		"resumption is for fresh": {URL: good, Resume: true},
		"PUT or POST":             {URL: good, Set: "PATCH"},
		"no proper name":          {URL: good, Header: [][2]string{{"A", "secret\r\nB: c"}}},
	} {
		_, err := NewHTTPS(c)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v; want %q in it", c.URL, err, name)
		}
	}
}

// cannedServer answers each request with the same 2 kB and allocates nothing for it, so that what is measured is the client.
func cannedServer(t testing.TB) (address string, ca *devca.CA) {
	t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{issue(t, ca, devca.Loopback())}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTTL: 3600\r\nCache-Control: no-store\r\n" +
		"Content-Length: 2048\r\n\r\n" + strings.Repeat("v", 2048))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 4096)
				for {
					if _, err := conn.Read(buffer); err != nil { // a request is one record
						return
					}
					if _, err := conn.Write(said); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), ca
}

// BenchmarkKept is a get of 2 kB on a kept connection: both ends of it.
func BenchmarkKept(b *testing.B) {
	address, ca := cannedServer(b)
	conn := dial(b, HTTPSConfig{URL: "https://" + address + "/", TLS: &tls.Config{RootCAs: ca.Pool()}})
	op := Op{Method: Get, Key: Dataset{ValueBytes: 1}.Key(0)}
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.Do(b.Context(), &op); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFresh is the same with a new connection for each.
func BenchmarkFresh(b *testing.B) {
	for _, resume := range []bool{false, true} {
		b.Run(fmt.Sprintf("resume=%t", resume), func(b *testing.B) {
			address, ca := cannedServer(b)
			conn := dial(b, HTTPSConfig{URL: "https://" + address + "/", TLS: &tls.Config{RootCAs: ca.Pool()}, Fresh: true, Resume: resume})
			op := Op{Method: Get, Key: Dataset{ValueBytes: 1}.Key(0)}
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Do(b.Context(), &op); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
