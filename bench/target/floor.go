package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"userinfo/bench/cost"
	"userinfo/bench/result"
)

// floorBytes is the size of what floors answer with.
const floorBytes = 2048

// floorAddress is what a floor prints first, as a line of JSON.
type floorAddress struct {
	URL     string // of the answer, ending in a slash
	Metrics string // of its metrics, over plain HTTP
}

// Handler starts the floor under a service in Go: a net/http handler that answers 2 KB from memory, under the same TLS.
// It answers a request of any method on any path.
func (l *Lab) Handler(ctx context.Context, name string, env ...string) (*Target, error) {
	return l.floor(ctx, name, "handler", env)
}

// Loop starts the floor under any HTTPS server in Go: it accepts, makes the handshake, and answers each head of a request
// with the same 2 KB, without net/http. It is for gets alone: a body would be taken for the next request.
func (l *Lab) Loop(ctx context.Context, name string, env ...string) (*Target, error) {
	return l.floor(ctx, name, "loop", env)
}

func (l *Lab) floor(ctx context.Context, name, kind string, env []string) (*Target, error) {
	if len(l.options.Floor) == 0 {
		return nil, errors.New("a floor needs Options.Floor, the command line that runs it")
	}
	line := append(l.options.Floor[1:len(l.options.Floor):len(l.options.Floor)], kind, l.dir)
	c, err := l.start(func(line string) bool { return strings.HasPrefix(line, "{") }, env, l.options.Floor[0], line...)
	if err != nil {
		return nil, err
	}
	said, err := c.await(ctx)
	if err != nil {
		return nil, err
	}
	var at floorAddress
	if err := json.Unmarshal([]byte(said[strings.Index(said, "{"):]), &at); err != nil {
		return nil, fmt.Errorf("reading the address of floor %s: %w", kind, err)
	}
	request, err := http.NewRequest(http.MethodGet, at.Metrics, nil)
	if err != nil {
		return nil, err
	}
	t := https(name, l.files(at.URL), cost.Process{
		Kind: result.KindFloor, PID: c.pid(), Allocations: cost.FromMetrics(&http.Client{Timeout: metricsPatience}, request),
	})
	t.token = l.file("token.header")
	return t, nil
}

// RunFloor serves as a floor until ctx ends: args are its kind, handler or loop, and the lab's directory.
func RunFloor(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 2 || args[0] != "handler" && args[0] != "loop" {
		return errors.New("usage: floor handler|loop DIRECTORY, where DIRECTORY has server.crt, server.key and ca.crt")
	}
	config, err := floorTLS(args[1])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, l.Close())
	}
	go serveMetrics(metrics)
	stop := context.AfterFunc(ctx, func() { _, _ = l.Close(), metrics.Close() })
	defer stop()
	address := floorAddress{URL: "https://" + l.Addr().String() + "/", Metrics: "http://" + metrics.Addr().String() + "/metrics"}
	if err := json.NewEncoder(stdout).Encode(address); err != nil {
		return err
	}
	if args[0] == "handler" {
		err = serveHandler(l, config)
	} else {
		err = serveLoop(tls.NewListener(l, config))
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// floorTLS is what the service has: TLS 1.3, and a client's certificate is verified where there is one.
func floorTLS(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, err
	}
	pool, err := readPool(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
	}, nil
}

// readPool is a file of CAs.
func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return pool, nil
}

func serveMetrics(l net.Listener) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	server := &http.Server{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: time.Minute}
	_ = server.Serve(l) // it ends with the floor
}

func serveHandler(l net.Listener, config *tls.Config) error {
	value := []byte(strings.Repeat("v", floorBytes))
	server := &http.Server{
		TLSConfig: config, ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = contentType
			_, _ = w.Write(value)
		}),
	}
	return server.ServeTLS(l, "", "")
}

// contentType spares net/http from guessing it.
var contentType = []string{"application/octet-stream"}

func serveLoop(l net.Listener) error {
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s",
		floorBytes, strings.Repeat("v", floorBytes))
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			answerHeads(conn, answer)
		}()
	}
}

// answerHeads answers each head of a request, which ends in an empty line and has at most 4 KB, until the client closes.
func answerHeads(conn io.ReadWriter, answer []byte) {
	buffer := make([]byte, 4096)
	have := 0
	for {
		n, err := conn.Read(buffer[have:])
		if err != nil || n == 0 {
			return
		}
		have += n
		if have < 4 || string(buffer[have-4:have]) != "\r\n\r\n" { // clients wait for an answer, so nothing follows it
			continue
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
