//go:build integration

package mediawiki_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/mediawiki"
)

// runTimeout is far more than a run takes: one second against a service that answers, and 9 s against a silent one.
const runTimeout = 2 * time.Minute

var flavours = []mediawiki.Flavour{mediawiki.Put, mediawiki.Kask}

func run(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	return c.Run(ctx, mode)
}

// checkAll runs the client and checks that it completes all its checks.
func checkAll(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) {
	t.Helper()
	out, err := run(t, c, mode)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(out, "\n1..") {
		t.Errorf("the client did not complete; its output:\n%s", out)
	}
}

func TestClient_SeesRunningAndStoppedService(t *testing.T) {
	s := devserver.Start(t)
	dir := t.TempDir() // the service removes its own when it stops
	c := mediawiki.Client{URL: s.URL, CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token.header")}
	for from, to := range map[string]string{s.CAFile: c.CAFile, s.TokenFile: c.TokenFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, string(text))
	}
	for _, v := range mediawiki.Versions {
		c.Root = v.Install(t)
		for _, c.Flavour = range flavours {
			checkAll(t, c, mediawiki.Main)
		}
		if out, err := run(t, c, mediawiki.Down); err == nil {
			t.Errorf("a client that expects a stopped service accepts a running one; its output:\n%s", out)
		}
	}
	s.Stop()
	for _, v := range mediawiki.Versions {
		c.Root = v.Install(t)
		for _, c.Flavour = range flavours {
			checkAll(t, c, mediawiki.Down)
		}
		if out, err := run(t, c, mediawiki.Main); err == nil {
			t.Errorf("a client that expects a running service accepts a stopped one; its output:\n%s", out)
		}
	}
}

// TestClient_ReportsServiceWithoutAnswer checks that MediaWiki treats a missing answer as an error and not as a missing
// session, within 3 s.
func TestClient_ReportsServiceWithoutAnswer(t *testing.T) {
	dir := t.TempDir()
	ca, err := devca.New("silence")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Write(dir, "server", devca.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	c := mediawiki.Client{CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token.header")}
	write(t, c.CAFile, string(ca.PEM()))
	write(t, c.TokenFile, "Authorization: Bearer any\n")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"no TLS handshake":                   silent(t, func(net.Conn) {}),
		"a TLS handshake but no response":    silent(t, func(c net.Conn) { _ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake() }),
		"connections are closed immediately": silent(t, func(c net.Conn) { _ = c.Close() }),
	} {
		for _, v := range mediawiki.Versions {
			c.Root = v.Install(t)
			for _, f := range flavours {
				c := c
				t.Run(name+"/"+string(v)+"/"+string(f), func(t *testing.T) {
					t.Parallel()
					c.URL, c.Flavour = "https://"+address+"/sessions/v1", f
					checkAll(t, c, mediawiki.Down)
				})
			}
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// silent starts a server that calls greet with each connection and answers nothing. It returns the server's address. The
// connections are closed at the end of the test.
func silent(t *testing.T, greet func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			defer c.Close()
			go greet(c)
		}
	}()
	return l.Addr().String()
}
