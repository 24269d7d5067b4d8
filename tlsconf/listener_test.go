package tlsconf_test

import (
	"crypto/tls"
	"os"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func TestListenerConfig_ReloadAppliesToNewConnections(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	server := newServer(t, d.serverFiles(ca))
	address := serve(t, server.config())
	kept := connection(t, client(ca, nil))
	before, err := get(kept, address)
	if err != nil {
		t.Fatal(err)
	}

	d.serverFiles(ca)
	server.mustReload(t)

	if after := mustRequest(t, address, client(ca, nil)); after.Server == before.Server {
		t.Error("a new connection gets the old certificate")
	}
	if again, err := get(kept, address); err != nil || again.Server != before.Server {
		t.Errorf("the open connection: certificate %s, error %v; want certificate %s", again.Server, err, before.Server)
	}
}

func TestListenerConfig_FailedReloadKeepsOldServer(t *testing.T) {
	ca := newCA(t, "ca")
	newCert, newKey := issue(t, ca, devca.Loopback())
	expired := devca.Loopback()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	oldCert, oldKey := issue(t, ca, expired)
	for _, test := range []struct {
		name   string
		damage func(d dir)
		field  string
		words  []string
	}{
		{"new certificate, old key", func(d dir) { d.write("server.crt", newCert) },
			"key", []string{"server.key", "does not belong to the certificate in", "server.crt"}},
		{"new key, old certificate", func(d dir) { d.write("server.key", newKey) },
			"key", []string{"server.key", "does not belong"}},
		{"certificate cut off", func(d dir) { d.write("server.crt", newCert[:len(newCert)/2]) },
			"certificate", []string{"server.crt", "half-written"}},
		{"second CA cut off", func(d dir) { d.write("clients.pem", ca.PEM(), ca.PEM()[:100]) },
			"client_ca", []string{"clients.pem", "half-written"}},
		{"expired certificate", func(d dir) { d.write("server.crt", oldCert); d.write("server.key", oldKey) },
			"certificate", []string{"server.crt", "expired on"}},
		{"key removed", func(d dir) { _ = os.Remove(d.path("server.key")) },
			"key", []string{"server.key", "no such file"}},
		{"new certificate and key, empty CA bundle", func(d dir) {
			d.write("server.crt", newCert)
			d.write("server.key", newKey)
			d.write("clients.pem")
		}, "client_ca", []string{"clients.pem", "contains no certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDir(t)
			files := d.serverFiles(ca)
			files.ClientCA = d.write("clients.pem", ca.PEM())
			server := newServer(t, files)
			address, config := serve(t, server.config()), client(ca, pair(t, ca, wiki()))
			before, expiries := mustRequest(t, address, config), server.current.Load().Expiries()

			test.damage(d)
			for range 2 { // it fails until the files are corrected
				changed, err := server.reload()
				if changed {
					t.Error("a failed reload reports a change")
				}
				wantFieldError(t, err, test.field, test.words...)
			}
			if after := mustRequest(t, address, config); after != before {
				t.Errorf("after the failed reload %+v, before it %+v", after, before)
			}
			if got := server.current.Load().Expiries(); got[0] != expiries[0] || got[1] != expiries[1] {
				t.Errorf("after the failed reload the expiries are %v, before it %v", got, expiries)
			}

			d.write("server.crt", newCert)
			d.write("server.key", newKey)
			d.write("clients.pem", ca.PEM())
			server.mustReload(t)
			if after := mustRequest(t, address, config); after.Server == before.Server {
				t.Error("the corrected files are not used")
			}
		})
	}
}

func TestListenerConfig_ClientCARotation(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "clients"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	of := map[string]*tls.Config{"old": client(ca, pair(t, old, wiki())), "new": client(ca, pair(t, next, wiki()))}
	for _, step := range []struct {
		bundle   string
		contents [][]byte
		accepted map[string]bool
	}{
		{"old", nil, map[string]bool{"old": true, "new": false}},
		{"old and new", [][]byte{[]byte("the old one, until May\n"), old.PEM(), []byte("\nthe new one\n"), next.PEM()},
			map[string]bool{"old": true, "new": true}},
		{"new", [][]byte{next.PEM()}, map[string]bool{"old": false, "new": true}},
	} {
		if step.contents != nil {
			d.write("clients.pem", step.contents...)
			server.mustReload(t)
		}
		for name, want := range step.accepted {
			if !want {
				wantRefused(t, address, of[name], "bad certificate")
			} else if got := mustRequest(t, address, of[name]); got.Peer != "wiki" {
				t.Errorf("bundle %s: the client of the %s CA is %q, want wiki", step.bundle, name, got.Peer)
			}
		}
	}
}

func TestListenerConfig_TicketsSurviveReloadButNotRemovalOfCA(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "clients"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	authenticated, anonymous := cached(client(ca, pair(t, old, wiki()))), cached(client(ca, nil))
	wantResumed := func(when string, config *tls.Config, peer string) {
		t.Helper()
		if got := mustRequest(t, address, config); !got.Resumed || got.Peer != peer {
			t.Errorf("%s: %+v; want a resumed session of client %q", when, got, peer)
		}
	}
	mustRequest(t, address, authenticated)
	mustRequest(t, address, anonymous)
	wantResumed("before any reload", authenticated, "wiki")
	wantResumed("before any reload", anonymous, "")

	d.serverFiles(ca)
	server.mustReload(t)
	wantResumed("after a new server certificate", authenticated, "wiki")
	wantResumed("after a new server certificate", anonymous, "")

	d.write("clients.pem", old.PEM(), next.PEM())
	server.mustReload(t)
	wantResumed("with a second CA", authenticated, "wiki")

	d.write("clients.pem", next.PEM())
	server.mustReload(t)
	wantRefused(t, address, authenticated, "bad certificate")
	wantResumed("after the CA of another client was removed", anonymous, "")
}

func TestListenerConfig_SessionOfRemovedCAIsUnauthenticated(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "others"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	config := cached(client(ca, nil))
	config.Certificates = []tls.Certificate{*pair(t, old, wiki())} // sent only if the server lists its CA
	if got := mustRequest(t, address, config); got.Peer != "wiki" {
		t.Fatalf("before the reload: %+v", got)
	}
	d.write("clients.pem", next.PEM())
	server.mustReload(t)
	if got := mustRequest(t, address, config); got.Resumed || got.Peer != "" {
		t.Errorf("after its CA was removed: %+v; want a new session without a client certificate", got)
	}
}

func TestListenerConfig_ReloadUnderLoadFailsNoHandshake(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", ca.PEM())
	server := newServer(t, files)
	address, certificate := serve(t, server.config()), pair(t, ca, wiki())

	const workers, reloads = 4, 30
	var load sync.WaitGroup
	stop, handshakes := make(chan struct{}), make(chan struct{})
	for range workers {
		load.Go(func() {
			for {
				conn, err := tls.Dial("tcp", address, client(ca, certificate))
				if err != nil {
					t.Errorf("a handshake during reloads failed: %v", err)
				} else {
					_ = conn.Close()
				}
				select {
				case handshakes <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for range reloads {
		d.serverFiles(ca)
		server.mustReload(t)
		for range workers {
			<-handshakes
		}
	}
	close(stop)
	load.Wait()
}

func TestListenerConfig_DoesNotResumeExpiredCertificate(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", ca.PEM())
	clock := newClock()
	server := newServerAt(t, files, clock.now)
	address := serve(t, server.config())
	config := client(ca, pair(t, ca, devca.Leaf{CommonName: "wiki", Client: true, NotAfter: time.Now().Add(time.Hour)}))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	mustRequest(t, address, config)
	if !mustRequest(t, address, config).Resumed {
		t.Fatal("the session of a valid certificate was not resumed")
	}
	clock.advance(2 * time.Hour)
	wantRefused(t, address, config, "bad certificate")
}

func TestListenerConfig_FailsClosedWithoutServer(t *testing.T) {
	ca := newCA(t, "ca")
	address := serve(t, tlsconf.ListenerConfig(func() *tlsconf.Server { return nil }))
	wantRefused(t, address, client(ca, nil), "internal error")
}
