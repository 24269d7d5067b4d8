package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// answerBytes is the size of the value with which baselines answer.
const answerBytes = 2048

// startBaseline starts this executable as a baseline.
//
// The handler is the least that a service in Go on net/http costs: it answers any request with 2 KB from memory, under the
// service's TLS. The loop is the least that any HTTPS server in Go costs: it answers the head of each request with the same
// 2 KB, without net/http. It is for gets only: it would take a body for another request.
func (b *Testbed) startBaseline(ctx context.Context, kind string) (*Target, error) {
	isURL := func(output string) bool { return strings.HasSuffix(output, "/\n") }
	c, err := b.start(ctx, isURL, nil, b.self, "baseline", kind, b.dir)
	if err != nil {
		return nil, err
	}
	return &Target{
		Name: kind, http: b.client(strings.TrimSpace(c.text())), tokenHeader: b.file("token.header"),
		Processes: []Process{{Kind: result.KindBaseline, PID: c.pid()}},
	}, nil
}

// RunBaseline serves as a baseline until ctx ends. Its arguments are the kind, handler or loop, and the testbed's directory.
// It first writes its URL to out.
func RunBaseline(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 || args[0] != result.Handler && args[0] != result.Loop {
		return errors.New("usage: bench baseline handler|loop DIRECTORY, with server.crt, server.key and ca.crt in DIRECTORY")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(args[1], "server.crt"), filepath.Join(args[1], "server.key"))
	if err != nil {
		return err
	}
	ca, err := load.HTTPConfig{CA: filepath.Join(args[1], "ca.crt")}.TLS()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.RootCAs,
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	fmt.Fprintf(out, "https://%s/\n", l.Addr())
	if args[0] == result.Handler {
		err = serveHandler(l)
	} else {
		err = serveLoop(l)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func serveHandler(l net.Listener) error {
	value := []byte(strings.Repeat("v", answerBytes))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream") // so that net/http does not guess it
		_, _ = w.Write(value)
	})}
	return server.Serve(l)
}

func serveLoop(l net.Listener) error {
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s",
		answerBytes, strings.Repeat("v", answerBytes))
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
		if have < 4 || string(buffer[have-4:have]) != "\r\n\r\n" { // clients wait for the answer, so nothing follows
			continue
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
