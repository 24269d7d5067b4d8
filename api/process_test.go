package api

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"userinfo/internal/devca"
)

// clientSpec configures clients that run in another process. The test process then uses CPU and memory for the server only.
type clientSpec struct {
	Addr, Path    string
	CA, Cert, Key []byte // PEM; without Cert the client has no certificate
	Curves        []tls.CurveID
	Resume        bool
	HTTP2         bool
	Kept          bool // keep all connections until the end; otherwise use each for one request
	Connections   int
	AtOnce        int
}

// clientVariable is the environment variable that makes the test binary run as clients. They read a clientSpec from
// standard input.
const clientVariable = "USERINFO_TEST_CLIENT"

func TestMain(m *testing.M) {
	if os.Getenv(clientVariable) == "" {
		os.Exit(m.Run())
	}
	if err := runClients(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "the clients:", err)
		os.Exit(1)
	}
}

// clientProcess is a process that runs clients.
type clientProcess struct {
	command *exec.Cmd
	in      io.WriteCloser
	said    *bufio.Reader
}

// start starts the process and returns after its first request.
func (s clientSpec) start(t testing.TB) *clientProcess {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p := &clientProcess{command: exec.CommandContext(t.Context(), os.Args[0])}
	p.command.Env = append(os.Environ(), clientVariable+"=1")
	p.command.Stderr = os.Stderr
	in, err1 := p.command.StdinPipe()
	out, err2 := p.command.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.said = in, bufio.NewReader(out)
	p.say(t, string(text), "ready")
	return p
}

func (p *clientProcess) say(t testing.TB, line, want string) {
	t.Helper()
	_, _ = fmt.Fprintln(p.in, line) // after an error, there is no answer
	if got, err := p.said.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("the client process answered %q, %v", got, err)
	}
}

// proceed makes the process open all connections and send one request on each, and waits for the end of that.
func (p *clientProcess) proceed(t testing.TB) {
	t.Helper()
	p.say(t, "go", "done")
}

// end makes the process send requests on some of the kept connections and exit.
func (p *clientProcess) end(t testing.TB) {
	t.Helper()
	if err := errors.Join(p.in.Close(), p.command.Wait()); err != nil {
		t.Errorf("the clients: %v", err)
	}
}

// runClients runs the clients. It writes "ready" after a first request. After the next line of in, it opens the connections
// and writes "done".
func runClients(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var s clientSpec
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	config, err := s.config()
	if err != nil {
		return err
	}
	if err := s.ask(config); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	if _, err := lines.ReadBytes('\n'); err != nil {
		return err
	}
	kept, err := s.connect(config)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "done")
	if _, err := io.Copy(io.Discard, lines); err != nil {
		return err
	}
	for n := 0; n < len(kept); n += 100 {
		if err := kept[n].ask(s.Path); err != nil {
			return fmt.Errorf("kept connection %d: %w", n, err)
		}
	}
	return nil
}

// connect opens all connections, sends one request on each, and returns the connections if they are kept.
func (s clientSpec) connect(config *tls.Config) ([]idleConn, error) {
	var kept []idleConn
	if s.Kept {
		if err := raiseFileLimit(uint64(s.Connections) + 500); err != nil {
			return nil, err
		}
		kept = make([]idleConn, s.Connections)
	}
	var next atomic.Int64
	errs := make([]error, s.AtOnce)
	var all sync.WaitGroup
	for w := range s.AtOnce {
		all.Go(func() {
			for errs[w] == nil {
				n := next.Add(1) - 1
				switch {
				case n >= int64(s.Connections):
					return
				case s.Kept:
					kept[n], errs[w] = s.keep(config)
				default:
					errs[w] = s.ask(config)
				}
			}
		})
	}
	all.Wait()
	return kept, errors.Join(errs...)
}

func (s clientSpec) config() (*tls.Config, error) {
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", CurvePreferences: s.Curves, NextProtos: []string{"http/1.1"}}
	config.RootCAs.AppendCertsFromPEM(s.CA)
	if s.Cert != nil {
		pair, err := tls.X509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if s.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if s.HTTP2 {
		config.NextProtos = []string{"h2"}
	}
	return config, nil
}

// ask sends one request on a new connection.
func (s clientSpec) ask(config *tls.Config) error {
	if s.HTTP2 {
		return s.askHTTP2(config)
	}
	c, err := tls.Dial("tcp", s.Addr, config)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET "+s.Path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") || len(answer) < 2048 {
		return fmt.Errorf("%w; the response was %.100q", err, answer)
	}
	return nil
}

func (s clientSpec) askHTTP2(config *tls.Config) error {
	var p http.Protocols
	p.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: config, Protocols: &p}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://" + s.Addr + s.Path)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n < 2048 || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%d bytes, status %d, %w", n, res.StatusCode, err)
	}
	return nil
}

// idleConn is a connection on which one request was answered.
type idleConn struct {
	c *tls.Conn
	r *bufio.Reader
}

func (s clientSpec) keep(config *tls.Config) (idleConn, error) {
	c, err := (&service{addr: s.Addr}).handshake(config)
	if err != nil {
		return idleConn{}, err
	}
	i := idleConn{c, bufio.NewReaderSize(c, 512)}
	return i, i.ask(s.Path)
}

func (i idleConn) ask(path string) error {
	if err := i.c.SetDeadline(deadline()); err != nil {
		return err
	}
	if _, err := io.WriteString(i.c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(i.r, nil)
	if err != nil {
		return err
	}
	if got, err := read(res); err != nil || got.status != http.StatusOK {
		return fmt.Errorf("status %d, %w", got.status, err)
	}
	return nil
}

// raiseFileLimit raises the limit of open files to n.
func raiseFileLimit(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur, limit.Max = max(limit.Cur, n), max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed; raise the hard limit with ulimit -Hn: %w", n, err)
	}
	return nil
}

func canaryClients(addr string) clientSpec {
	cert, key, err := testCA().Issue(devca.Leaf{CommonName: "canary", Client: true})
	if err != nil {
		panic(err)
	}
	return clientSpec{Addr: addr, Path: canaryPath, CA: testCA().PEM(), Cert: cert, Key: key, Curves: php}
}

// php lists the key exchanges that PHP offers with OpenSSL 3.0.
var php = []tls.CurveID{tls.X25519, tls.CurveP256}
