package api

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/store"
)

// canaryPath is the path of a key that the client canary may use.
const canaryPath = "/sessions/v1/canary%3AMWSession%3Aabc"

// dialTLS opens a TLS connection.
func dialTLS(b *testing.B, addr string, config *tls.Config) *tls.Conn {
	b.Helper()
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func canaryTLS() *tls.Config {
	return &tls.Config{
		RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"},
		Certificates: []tls.Certificate{issue(testCA(), devca.Leaf{CommonName: "canary", Client: true})},
	}
}

// asker sends the same request again and again on one connection. It uses little CPU itself.
type asker struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func newAsker(c net.Conn, path string) *asker {
	return &asker{conn: c, in: bufio.NewReaderSize(c, 64<<10), request: []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")}
}

// ask sends the request and reads the response, which must have status 200.
func (a *asker) ask(b *testing.B) {
	if _, err := a.conn.Write(a.request); err != nil {
		b.Fatal(err)
	}
	length := 0
	for first := true; ; first = false {
		line, err := a.in.ReadSlice('\n')
		if err != nil || first && !bytes.Contains(line, []byte(" 200 ")) {
			b.Fatalf("%v after %q", err, line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := a.in.Discard(length); err != nil || length == 0 {
		b.Fatalf("the body: %v, %d bytes", err, length)
	}
}

// startHolding starts a service that has a value of size bytes at canaryPath.
func startHolding(b testing.TB, size int) *service {
	b.Helper()
	s := start(b, setup{level: quiet})
	c := s.client(b, protocols[0], issue(testCA(), devca.Leaf{CommonName: "canary", Client: true}))
	got := s.must(b, c, ask{method: "PUT", path: canaryPath, body: strings.NewReader(strings.Repeat("v", size)), header: http.Header{"Authorization": {""}}})
	if got.status != http.StatusNoContent {
		b.Fatalf("setting: %d %s", got.status, got.body)
	}
	return s
}

// startFloor starts a minimal server of net/http that sends size bytes for every request.
func startFloor(b *testing.B, size int) (addr string) {
	b.Helper()
	value := bytes.Repeat([]byte("v"), size)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", strconv.Itoa(len(value)))
			_, _ = w.Write(value)
		}),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: DefaultIdleTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{serverCertificate()}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: testCA().Pool(), MinVersion: tls.VersionTLS13,
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ServeTLS(l, "", "") // returns http.ErrServerClosed
	}()
	b.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return l.Addr().String()
}

// BenchmarkServedGet measures a get over a kept connection with mutual TLS, including the client. The floor is a minimal
// server of net/http: the difference is the cost of this package, access and the memory store.
func BenchmarkServedGet(b *testing.B) {
	for _, size := range []int{2 << 10, 100 << 10} {
		for _, of := range []string{"userinfo", "floor"} {
			b.Run(strconv.Itoa(size)+"B/"+of, func(b *testing.B) {
				var addr string
				if of == "floor" {
					addr = startFloor(b, size)
				} else {
					addr = startHolding(b, size).addr
				}
				benchKept(b, addr)
			})
		}
	}
}

func benchKept(b *testing.B, addr string) {
	c := dialTLS(b, addr, canaryTLS())
	defer func() { _ = c.Close() }()
	a := newAsker(c, canaryPath)
	a.ask(b)
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		a.ask(b)
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkServedSet measures a set of 2 kB over a kept connection with mutual TLS, including the client, into the memory store: with
// and without counting the most rewritten keys. The difference is smaller than the noise: divide BenchmarkRewrites_Record of package
// store by the CPU time of one set.
func BenchmarkServedSet(b *testing.B) {
	auditKey, err := access.NewAuditKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for name, rewrites := range map[string]*store.Rewrites{"counted": store.NewRewrites(time.Now, auditKey.Hash), "uncounted": nil} {
		b.Run(name, func(b *testing.B) {
			c := dialTLS(b, start(b, setup{level: quiet, rewrites: rewrites}).addr, canaryTLS())
			defer func() { _ = c.Close() }()
			request := []byte("PUT " + canaryPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2048\r\n\r\n" + strings.Repeat("v", 2048))
			in := bufio.NewReaderSize(c, 64<<10)
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				response, err := http.ReadResponse(in, nil)
				if err != nil || response.StatusCode != http.StatusNoContent {
					b.Fatalf("%v, %v", response, err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu returns the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
