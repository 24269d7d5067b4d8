package tlsconf_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// person is a client with a certificate.
type person struct {
	pem  []byte
	cert *x509.Certificate
}

func newPerson(t *testing.T, ca *devca.CA, name string) person {
	t.Helper()
	text, _ := issue(t, ca, devca.Leaf{CommonName: name, Client: true})
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return person{text, cert}
}

// serialLine returns the output of openssl x509 -noout -serial.
func (p person) serialLine() string { return fmt.Sprintf("serial=%X\n", p.cert.SerialNumber) }

// fingerprintLine returns the output of openssl x509 -noout -fingerprint -sha256.
func (p person) fingerprintLine() string {
	sum := sha256.Sum256(p.cert.Raw)
	var pairs []string
	for _, b := range sum {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	return "sha256 Fingerprint=" + strings.Join(pairs, ":") + "\n"
}

// twoCAs is a server with the client CAs a and b, and a client alice of each.
type twoCAs struct {
	dir
	a, b           *devca.CA
	ofA, ofB       person
	files          tlsconf.ServerFiles
	clock          *clock
	server         server
	chainA, chainB [][]*x509.Certificate // as verified when the connection was made
}

func newTwoCAs(t *testing.T) *twoCAs {
	t.Helper()
	w := &twoCAs{dir: newDir(t), a: newCA(t, "a"), b: newCA(t, "b"), clock: newClock()}
	w.ofA, w.ofB = newPerson(t, w.a, "alice"), newPerson(t, w.b, "alice")
	w.files = w.serverFiles(newCA(t, "servers"))
	w.files.ClientCAs = []tlsconf.ClientCA{{Name: "a", File: w.write("a.crt", w.a.PEM())}, {Name: "b", File: w.write("b.crt", w.b.PEM())}}
	w.files.Denied = w.write("denied", nil)
	w.files.CRLs = []string{w.write("a.crl", w.crl(w.a))}
	w.start()
	w.chainA, w.chainB = w.chains(w.ofA), w.chains(w.ofB)
	return w
}

func (w *twoCAs) start() {
	w.t.Helper()
	w.server = newServerAt(w.t, w.files, w.clock.now)
}

func (w *twoCAs) crl(ca *devca.CA, revoked ...person) []byte {
	w.t.Helper()
	var all [][]byte
	for _, p := range revoked {
		all = append(all, p.pem)
	}
	text, err := ca.CRL(time.Now().Add(time.Hour), all...)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func (w *twoCAs) chains(p person) [][]*x509.Certificate {
	w.t.Helper()
	chains, err := w.server.current.Load().BuildChains(p.cert, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return chains
}

// want verifies the chains again and checks the names of the CAs and the error.
func (w *twoCAs) want(step string, chains [][]*x509.Certificate, names string, reason error) {
	w.t.Helper()
	got, err := w.server.current.Load().VerifyChains(chains)
	if strings.Join(got, ",") != names || !errors.Is(err, reason) {
		w.t.Errorf("%s: CAs %q, error %v; want %q, %v", step, got, err, names, reason)
	}
}

func TestServer_VerifyChainsNamesTheSigningCA(t *testing.T) {
	w := newTwoCAs(t)
	w.want("signed by a", w.chainA, "a", nil)
	w.want("signed by b", w.chainB, "b", nil)
	w.want("signed by both", [][]*x509.Certificate{w.chainA[0], w.chainB[0]}, "a,b", nil)
	w.want("no chain", nil, "", tlsconf.ErrUntrusted)
	w.want("an empty chain", [][]*x509.Certificate{{}}, "", tlsconf.ErrUntrusted)
	w.want("a chain without its root", [][]*x509.Certificate{{w.ofA.cert}}, "", tlsconf.ErrUntrusted)
	w.want("signed by b, and a chain without its root", [][]*x509.Certificate{{w.ofA.cert}, w.chainB[0]}, "b", nil)
	if _, err := w.server.current.Load().BuildChains(newPerson(t, newCA(t, "c"), "alice").cert, nil); !errors.Is(err, tlsconf.ErrUntrusted) {
		t.Errorf("BuildChains accepts a certificate of another CA: %v", err)
	}
	serverPEM, _ := issue(t, w.a, devca.Loopback())
	block, _ := pem.Decode(serverPEM)
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	} else if _, err := w.server.current.Load().BuildChains(cert, nil); err != nil {
		t.Errorf("BuildChains rejects a certificate for servers and clients: %v", err)
	}
	none := newServer(t, w.serverFiles(newCA(t, "servers")))
	if _, err := none.current.Load().VerifyChains(w.chainA); !errors.Is(err, tlsconf.ErrUntrusted) {
		t.Errorf("without client CAs: %v", err)
	}
	if _, err := none.current.Load().BuildChains(w.ofA.cert, nil); !errors.Is(err, tlsconf.ErrUntrusted) || none.current.Load().ClientVerifier() != nil {
		t.Errorf("BuildChains without client CAs: %v", err)
	}
}

func TestServer_VerifyChainsRejectsRemovedCA(t *testing.T) {
	w := newTwoCAs(t)
	next := newCA(t, "next a")
	w.write("a.crt", w.a.PEM(), next.PEM())
	w.server.mustReload(t)
	w.want("with a second CA", w.chainA, "a", nil)
	w.write("a.crt", next.PEM())
	w.write("a.crl", w.crl(next))
	w.server.mustReload(t)
	w.want("after its CA was removed", w.chainA, "", tlsconf.ErrUntrusted)
	w.want("the other CA", w.chainB, "b", nil)
}

func TestServer_VerifyChainsRejectsExpiredCertificate(t *testing.T) {
	w := newTwoCAs(t)
	w.clock.advance(31 * 24 * time.Hour)
	w.want("after 31 days", w.chainA, "", tlsconf.ErrUntrusted)
	w.clock.advance(-32*24*time.Hour - 2*time.Hour)
	w.want("before its validity period", w.chainA, "", tlsconf.ErrUntrusted)
}

func TestServer_VerifyChainsRejectsRevokedCertificate(t *testing.T) {
	for name, revoke := range map[string]func(*twoCAs){
		"serial number on the deny list": func(w *twoCAs) { w.write("denied", []byte("# stolen\n"+w.ofA.serialLine())) },
		"fingerprint on the deny list":   func(w *twoCAs) { w.write("denied", []byte(w.ofA.fingerprintLine()+"\n")) },
		"on the CA's revocation list":    func(w *twoCAs) { w.write("a.crl", w.crl(w.a, w.ofB, w.ofA)) },
		"fingerprint of its CA on the deny list": func(w *twoCAs) {
			w.write("denied", []byte(person{cert: w.chainA[0][1]}.fingerprintLine()))
		},
	} {
		w := newTwoCAs(t)
		w.want(name+", before", w.chainA, "a", nil)
		revoke(w)
		w.server.mustReload(t)
		w.want(name, w.chainA, "", tlsconf.ErrRevoked)
		w.want(name+", with a second chain that is not revoked", [][]*x509.Certificate{w.chainB[0], w.chainA[0]}, "", tlsconf.ErrRevoked)
		w.want(name+", another client", w.chainB, "b", nil) // although a's list contains the serial number of b's client
		w.write("denied", nil)
		w.write("a.crl", w.crl(w.a))
		w.server.mustReload(t)
		w.want(name+", no longer revoked", w.chainA, "a", nil)
	}
}

func TestLoadServer_NamesFieldOfBadTrustFile(t *testing.T) {
	unknown := newCA(t, "unknown")
	for _, test := range []struct {
		name   string
		change func(*twoCAs)
		field  string
		says   string
	}{
		{"a CA without a name", func(w *twoCAs) { w.files.ClientCAs[1].Name = "" }, "client_cas[1].name", "missing"},
		{"two CAs with one name", func(w *twoCAs) { w.files.ClientCAs[1].Name = "a" }, "client_cas[1].name", `"a" is already the name of another CA`},
		{"a CA with the name of client_ca", func(w *twoCAs) { w.files.ClientCA = w.path("b.crt"); w.files.ClientCAs[1].Name = "client_ca" }, "client_cas[1].name", "already the name of another CA"},
		{"a CA without a file", func(w *twoCAs) { w.files.ClientCAs[1].File = "" }, "client_cas[1].file", "missing"},
		{"a missing file", func(w *twoCAs) { w.files.ClientCAs[1].File = "nowhere" }, "client_cas[1].file", "cannot read the file"},
		{"one CA under two names", func(w *twoCAs) { w.write("b.crt", w.b.PEM(), w.a.PEM()) }, "client_cas[1].file", `has the same key as a CA in "a"`},
		{"a leaf", func(w *twoCAs) { w.write("b.crt", w.ofB.pem) }, "client_cas[1].file", "is not a CA certificate"},
		{"a list of an unknown CA", func(w *twoCAs) { w.write("a.crl", w.crl(unknown)) }, "crls[0]", "not signed by a client CA"},
		{"a list cut off", func(w *twoCAs) { w.write("a.crl", w.crl(w.a), w.crl(w.a)[:100]) }, "crls[0]", "damaged or half-written"},
		{"a certificate in place of a list", func(w *twoCAs) { w.write("a.crl", w.a.PEM()) }, "crls[0]", "is not an X509 CRL"},
		{"an empty list file", func(w *twoCAs) { w.write("a.crl", nil) }, "crls[0]", "cannot be parsed"},
		{"a list that is not valid yet", func(w *twoCAs) {
			text, err := w.a.CRL(time.Now().Add(48 * time.Hour))
			if err != nil {
				w.t.Fatal(err)
			}
			w.write("a.crl", text)
		}, "crls[0]", "not valid before"},
		{"a deny list cut off", func(w *twoCAs) { w.write("denied", []byte("serial=12\nserial=34")) }, "denied_certificates", "half-written"},
		{"a serial number that is not hexadecimal", func(w *twoCAs) { w.write("denied", []byte("\nserial=12xy\n")) }, "denied_certificates", "line 2: a serial number has"},
		{"a negative serial number", func(w *twoCAs) { w.write("denied", []byte("serial=-12\n")) }, "denied_certificates", "line 1: a serial number has"},
		{"too long a serial number", func(w *twoCAs) { w.write("denied", []byte("serial="+strings.Repeat("A", 42)+"\n")) }, "denied_certificates", "1 to 40"},
		{"SHA-1", func(w *twoCAs) { w.write("denied", []byte("sha1 Fingerprint=00:11\n")) }, "denied_certificates", "write serial="},
		{"a short fingerprint", func(w *twoCAs) { w.write("denied", []byte("sha256 Fingerprint=00:11\n")) }, "denied_certificates", "32 bytes"},
		{"revocations without CAs", func(w *twoCAs) { w.files.ClientCAs = nil }, "client_ca", "no effect without a client CA"},
	} {
		w := newTwoCAs(t)
		test.change(w)
		_, err := tlsconf.LoadServer(w.files, w.clock.now)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %q", test.name, err, test.says)
			continue
		}
		wantFieldError(t, err, test.field)
	}
}

func TestServer_VerifyChainsRejectsInvalidSerialNumber(t *testing.T) {
	for name, serial := range map[string]*big.Int{
		"missing": nil, "negative": big.NewInt(-1), "longer than 20 bytes": new(big.Int).Lsh(big.NewInt(1), 160),
	} {
		w := newTwoCAs(t) // CA a has an empty revocation list, b has none
		cert := &x509.Certificate{SerialNumber: serial, NotBefore: w.ofA.cert.NotBefore, NotAfter: w.ofA.cert.NotAfter}
		rootA, rootB := w.chainA[0][1], w.chainB[0][1]
		w.want(name+", revocation list", [][]*x509.Certificate{{cert, rootA}}, "", tlsconf.ErrRevoked)
		w.files.CRLs = nil
		w.start()
		w.want(name+", no list", [][]*x509.Certificate{{cert, rootB}}, "b", nil)
		w.write("denied", []byte("serial=12\n"))
		w.server.mustReload(t)
		w.want(name+", deny list", [][]*x509.Certificate{{cert, rootB}}, "", tlsconf.ErrRevoked)
	}
}

func TestServer_BuildChainsFailsClosedWithoutCertificate(t *testing.T) {
	w := newTwoCAs(t)
	if chains, err := w.server.current.Load().BuildChains(nil, nil); !errors.Is(err, tlsconf.ErrUntrusted) || chains != nil {
		t.Errorf("BuildChains(nil, nil) = %v, %v", chains, err)
	}
}
