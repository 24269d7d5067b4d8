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

// limit is far more than the client takes: a second against a service that answers, 9 against one that is silent.
const limit = 2 * time.Minute

var flavours = []mediawiki.Flavour{mediawiki.Put, mediawiki.Kask}

func run(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Run(ctx, mode)
}

// holds runs the client to its end and has all of its claims hold.
func holds(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) {
	t.Helper()
	said, err := run(t, c, mode)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(said, "\n1..") {
		t.Errorf("the client did not come to its end; it said:\n%s", said)
	}
}

func TestMediaWikiIsServedAndHearsWhenTheServiceHasStopped(t *testing.T) {
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
	for _, c.Flavour = range flavours {
		holds(t, c, mediawiki.Main)
	}
	if said, err := run(t, c, mediawiki.Down); err == nil {
		t.Errorf("a client that expects silence finds it where there is none; it said:\n%s", said)
	}
	s.Stop()
	for _, c.Flavour = range flavours {
		holds(t, c, mediawiki.Down)
	}
	if said, err := run(t, c, mediawiki.Main); err == nil {
		t.Errorf("a client that expects a service finds it where there is none; it said:\n%s", said)
	}
}

// TestMediaWikiHearsOfAServiceThatDoesNotAnswer: MediaWiki must take silence for an error, not for a session that is
// not there, and its user must not wait for longer than 3 s.
func TestMediaWikiHearsOfAServiceThatDoesNotAnswer(t *testing.T) {
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
		"no TLS handshake is answered":        silent(t, func(net.Conn) {}),
		"a handshake, and then no answer":     silent(t, func(c net.Conn) { _ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake() }),
		"a connection that is closed at once": silent(t, func(c net.Conn) { _ = c.Close() }),
	} {
		for _, f := range flavours {
			t.Run(name+"/"+string(f), func(t *testing.T) {
				t.Parallel()
				c := c
				c.URL, c.Flavour = "https://"+address+"/sessions/v1", f
				holds(t, c, mediawiki.Down)
			})
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// silent accepts connections, does no more with each than greet, and closes what is left at the end of the test.
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
