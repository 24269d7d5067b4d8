package tlsconf_test

import (
	"crypto/tls"
	"os"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
)

func wiki() devca.Leaf { return devca.Leaf{CommonName: "wiki", Client: true} }

func cached(config *tls.Config) *tls.Config {
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return config
}

func TestReloadSwapsTheCertificateForNewConnectionsWhileOldOnesLiveOn(t *testing.T) {
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
		t.Error("a new connection still gets the old certificate")
	}
	if again, err := get(kept, address); err != nil || again.Server != before.Server {
		t.Errorf("the old connection: certificate %s, %v; want %s to go on", again.Server, err, before.Server)
	}
}

func TestReloadOfUnchangedContentsChangesNothing(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	clock := newClock()
	server := newServerAt(t, files, clock.now)
	data, err := os.ReadFile(files.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	d.write("server.crt", data)
	for _, step := range []time.Duration{0, 365 * 24 * time.Hour} { // even once it has expired
		clock.advance(step)
		if changed, err := server.reload(); changed || err != nil {
			t.Errorf("reload() = %v, %v; want false, nil", changed, err)
		}
	}
}

func TestAFailedReloadKeepsTheOldStateAndTheNextOneMends(t *testing.T) {
	ca := newCA(t, "ca")
	newCert, newKey := issue(t, ca, devca.Loopback())
	expired := devca.Loopback()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	oldCert, oldKey := issue(t, ca, expired)
	for _, test := range []struct {
		name  string
		spoil func(d dir)
		field string
		words []string
	}{
		{"half-written: certificate new, key old", func(d dir) { d.write("server.crt", newCert) },
			"key", []string{"server.key", "does not belong to the certificate in", "server.crt"}},
		{"half-written: key new, certificate old", func(d dir) { d.write("server.key", newKey) },
			"key", []string{"server.key", "does not belong"}},
		{"half-written: certificate cut off", func(d dir) { d.write("server.crt", newCert[:len(newCert)/2]) },
			"certificate", []string{"server.crt", "half-written"}},
		{"half-written: second CA cut off", func(d dir) { d.write("clients.pem", ca.PEM(), ca.PEM()[:100]) },
			"client_ca", []string{"clients.pem", "half-written"}},
		{"certificate and key swapped for expired ones", func(d dir) { d.write("server.crt", oldCert); d.write("server.key", oldKey) },
			"certificate", []string{"server.crt", "expired on"}},
		{"key gone", func(d dir) { _ = os.Remove(d.path("server.key")) },
			"key", []string{"server.key", "no such file"}},
		{"new pair good, CA bundle empty", func(d dir) {
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

			test.spoil(d)
			for range 2 { // it goes on failing as long as the files are wrong
				changed, err := server.reload()
				if changed {
					t.Error("a failed reload says that something changed")
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
				t.Error("the mended files are not in force")
			}
		})
	}
}

func TestClientCARotation(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "clients"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	of := map[string]*tls.Config{"old": client(ca, pair(t, old, wiki())), "new": client(ca, pair(t, next, wiki()))}
	for _, step := range []struct {
		bundle   string
		contents [][]byte
		letIn    map[string]bool
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
		for name, want := range step.letIn {
			if !want {
				wantRefused(t, address, of[name], "unknown certificate authority")
			} else if got := mustRequest(t, address, of[name]); got.Peer != "wiki" {
				t.Errorf("bundle %s: a client of the %s CA is %q, want wiki", step.bundle, name, got.Peer)
			}
		}
	}
}

func TestSessionTicketsOutliveAReloadButNotTheirCA(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "clients"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	certified, anonymous := cached(client(ca, pair(t, old, wiki()))), cached(client(ca, nil))
	wantResumed := func(when string, config *tls.Config, peer string) {
		t.Helper()
		if got := mustRequest(t, address, config); !got.Resumed || got.Peer != peer {
			t.Errorf("%s: %+v; want a resumed session of %q", when, got, peer)
		}
	}
	mustRequest(t, address, certified)
	mustRequest(t, address, anonymous)
	wantResumed("before any reload", certified, "wiki")
	wantResumed("before any reload", anonymous, "")

	d.serverFiles(ca)
	server.mustReload(t)
	wantResumed("after a new server certificate", certified, "wiki")
	wantResumed("after a new server certificate", anonymous, "")

	d.write("clients.pem", old.PEM(), next.PEM())
	server.mustReload(t)
	wantResumed("with a second CA", certified, "wiki")

	d.write("clients.pem", next.PEM())
	server.mustReload(t)
	wantRefused(t, address, certified, "unknown certificate authority")
	wantResumed("without the CA of others", anonymous, "")
}

func TestASessionOfARemovedCAComesBackAsNobodyWhenItsClientShowsNoCertificate(t *testing.T) {
	ca, old, next, d := newCA(t, "server"), newCA(t, "clients"), newCA(t, "others"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", old.PEM())
	server := newServer(t, files)
	address := serve(t, server.config())
	config := cached(client(ca, nil))
	config.Certificates = []tls.Certificate{*pair(t, old, wiki())} // shown only to a server that takes its CA
	if got := mustRequest(t, address, config); got.Peer != "wiki" {
		t.Fatalf("before the reload: %+v", got)
	}
	d.write("clients.pem", next.PEM())
	server.mustReload(t)
	if got := mustRequest(t, address, config); got.Resumed || got.Peer != "" {
		t.Errorf("after its CA was taken away: %+v; want a new session of nobody", got)
	}
}

func TestReloadsUnderLoadFailNoHandshake(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", ca.PEM())
	server := newServer(t, files)
	address, certificate := serve(t, server.config()), pair(t, ca, wiki())

	const workers, handshakes = 4, 50
	var load sync.WaitGroup
	var serials sync.Map
	for range workers {
		load.Go(func() {
			for range handshakes {
				conn, err := tls.Dial("tcp", address, client(ca, certificate))
				if err != nil {
					t.Errorf("a handshake beside reloads failed: %v", err)
					return
				}
				serials.Store(conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), true)
				_ = conn.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { load.Wait(); close(done) }()
	for reloads := 0; ; reloads++ {
		select {
		case <-done:
			seen := 0
			serials.Range(func(_, _ any) bool { seen++; return true })
			t.Logf("%d handshakes, %d reloads, %d certificates seen", workers*handshakes, reloads, seen)
			if reloads == 0 {
				t.Error("no reload ran beside the handshakes")
			}
			return
		default:
			d.serverFiles(ca)
			server.mustReload(t)
			_ = server.current.Load().Expiries()
		}
	}
}
