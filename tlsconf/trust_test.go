package tlsconf_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// person is a client's certificate.
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

// serialLine and fingerprintLine are what openssl x509 prints with -serial and with -fingerprint -sha256.
func (p person) serialLine() string { return fmt.Sprintf("serial=%X\n", p.cert.SerialNumber) }

func (p person) fingerprintLine() string {
	sum := sha256.Sum256(p.cert.Raw)
	var pairs []string
	for _, b := range sum {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	return "sha256 Fingerprint=" + strings.Join(pairs, ":") + "\n"
}

// twoCAs is a server with the CAs a and b, and an alice of each.
type twoCAs struct {
	dir
	a, b           *devca.CA
	ofA, ofB       person
	files          tlsconf.ServerFiles
	clock          *clock
	server         server
	chainA, chainB [][]*x509.Certificate // as they were found when the connection began
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

// want checks of which CAs what was verified long ago is now.
func (w *twoCAs) want(step string, chains [][]*x509.Certificate, names string, reason error) {
	w.t.Helper()
	got, err := w.server.current.Load().VerifyChains(chains)
	if strings.Join(got, ",") != names || !errors.Is(err, reason) {
		w.t.Errorf("%s: of %q, %v; want %q, %v", step, got, err, names, reason)
	}
}

func TestACertificateIsOfTheCAThatSignedItAndOfNoOther(t *testing.T) {
	w := newTwoCAs(t)
	w.want("a's", w.chainA, "a", nil)
	w.want("b's", w.chainB, "b", nil)
	w.want("of both", [][]*x509.Certificate{w.chainA[0], w.chainB[0]}, "a,b", nil)
	w.want("no chain", nil, "", tlsconf.ErrUntrusted)
	w.want("an empty chain", [][]*x509.Certificate{{}}, "", tlsconf.ErrUntrusted)
	w.want("a chain without its root", [][]*x509.Certificate{{w.ofA.cert}}, "", tlsconf.ErrUntrusted)
	w.want("b's, and a chain to nowhere", [][]*x509.Certificate{{w.ofA.cert}, w.chainB[0]}, "b", nil)
	if _, err := w.server.current.Load().BuildChains(newPerson(t, newCA(t, "c"), "alice").cert, nil); !errors.Is(err, tlsconf.ErrUntrusted) {
		t.Errorf("another CA's certificate verifies: %v", err)
	}
	serverPEM, _ := issue(t, w.a, devca.Loopback())
	block, _ := pem.Decode(serverPEM)
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	} else if _, err := w.server.current.Load().BuildChains(cert, nil); err != nil {
		t.Errorf("a certificate for either use: %v", err)
	}
	none := newServer(t, w.serverFiles(newCA(t, "servers")))
	if _, err := none.current.Load().VerifyChains(w.chainA); !errors.Is(err, tlsconf.ErrUntrusted) {
		t.Errorf("without CAs: %v", err)
	}
	if _, err := none.current.Load().BuildChains(w.ofA.cert, nil); !errors.Is(err, tlsconf.ErrUntrusted) || none.current.Load().ClientPool() != nil {
		t.Errorf("without CAs it verifies: %v", err)
	}
}

func TestWhatATakenAwayCAHasSignedIsNotBelievedOnOpenConnections(t *testing.T) {
	w := newTwoCAs(t)
	next := newCA(t, "next a")
	w.write("a.crt", w.a.PEM(), next.PEM())
	w.server.mustReload(t)
	w.want("beside the next", w.chainA, "a", nil)
	w.write("a.crt", next.PEM())
	w.write("a.crl", w.crl(next))
	w.server.mustReload(t)
	w.want("taken away", w.chainA, "", tlsconf.ErrUntrusted)
	w.want("the other CA's", w.chainB, "b", nil)
}

func TestWhatHasExpiredIsNotBelievedOnOpenConnections(t *testing.T) {
	w := newTwoCAs(t)
	w.clock.advance(31 * 24 * time.Hour)
	w.want("after 31 days", w.chainA, "", tlsconf.ErrUntrusted)
	w.clock.advance(-32*24*time.Hour - 2*time.Hour)
	w.want("before it began", w.chainA, "", tlsconf.ErrUntrusted)
}

func TestWhatIsDeniedOrRevokedIsNotBelievedFromThenOn(t *testing.T) {
	for name, revoke := range map[string]func(*twoCAs){
		"by serial number": func(w *twoCAs) { w.write("denied", []byte("# stolen\n"+w.ofA.serialLine())) },
		"by fingerprint":   func(w *twoCAs) { w.write("denied", []byte(w.ofA.fingerprintLine()+"\n")) },
		"by its CA":        func(w *twoCAs) { w.write("a.crl", w.crl(w.a, w.ofB, w.ofA)) },
		"its CA, by fingerprint": func(w *twoCAs) {
			w.write("denied", []byte(person{cert: w.chainA[0][1]}.fingerprintLine()))
		},
	} {
		w := newTwoCAs(t)
		w.want(name+", before", w.chainA, "a", nil)
		revoke(w)
		w.server.mustReload(t)
		w.want(name, w.chainA, "", tlsconf.ErrRevoked)
		w.want(name+", beside a chain that is not", [][]*x509.Certificate{w.chainB[0], w.chainA[0]}, "", tlsconf.ErrRevoked)
		w.want(name+", somebody else", w.chainB, "b", nil) // though a's list has b's serial number
		w.write("denied", nil)
		w.write("a.crl", w.crl(w.a))
		w.server.mustReload(t)
		w.want(name+", taken back", w.chainA, "a", nil)
	}
}

func TestARevocationListThatRunsOutGoesOnCounting(t *testing.T) {
	w := newTwoCAs(t)
	w.write("a.crl", w.crl(w.a, w.ofA))
	w.server.mustReload(t)
	w.clock.advance(2 * time.Hour)
	w.want("past its date", w.chainA, "", tlsconf.ErrRevoked)
	i := slices.IndexFunc(w.server.current.Load().Expiries(), func(e tlsconf.Expiry) bool { return e.File == "crls[0]" })
	if i < 0 || w.server.current.Load().Expiries()[i].NotAfter.After(w.clock.now()) {
		t.Errorf("nothing tells that it ran out: %v", w.server.current.Load().Expiries())
	}
	w.write("a.crt", w.a.PEM(), newCA(t, "another").PEM()) // read again, with everything beside it
	if _, err := w.server.reload(); err == nil {
		t.Error("it was taken anew")
	} else {
		wantFieldError(t, err, "crls[0]", "is out of date since")
	}
	w.want("after a reload that failed", w.chainA, "", tlsconf.ErrRevoked)
}

func TestEachMistakeInWhatClientsAreTrustedByIsNamedWithItsField(t *testing.T) {
	stranger := newCA(t, "stranger")
	for _, test := range []struct {
		name   string
		change func(*twoCAs)
		field  string
		says   string
	}{
		{"a CA without a name", func(w *twoCAs) { w.files.ClientCAs[1].Name = "" }, "client_cas[1].name", "missing"},
		{"two of one name", func(w *twoCAs) { w.files.ClientCAs[1].Name = "a" }, "client_cas[1].name", `"a" is already the name of another CA`},
		{"one with the name of the other field", func(w *twoCAs) { w.files.ClientCA = w.path("b.crt"); w.files.ClientCAs[1].Name = "client_ca" }, "client_cas[1].name", "already the name of another CA"},
		{"a CA without a file", func(w *twoCAs) { w.files.ClientCAs[1].File = "" }, "client_cas[1].file", "missing"},
		{"a file that is not there", func(w *twoCAs) { w.files.ClientCAs[1].File = "nowhere" }, "client_cas[1].file", "cannot read the file"},
		{"one CA under two names", func(w *twoCAs) { w.write("b.crt", w.b.PEM(), w.a.PEM()) }, "client_cas[1].file", `has the same key as a CA in "a"`},
		{"a leaf", func(w *twoCAs) { w.write("b.crt", w.ofB.pem) }, "client_cas[1].file", "is not a CA certificate"},
		{"a list by nobody", func(w *twoCAs) { w.write("a.crl", w.crl(stranger)) }, "crls[0]", "not signed by a client CA"},
		{"a list that is cut off", func(w *twoCAs) { w.write("a.crl", w.crl(w.a), w.crl(w.a)[:100]) }, "crls[0]", "damaged or half-written"},
		{"a list that is none", func(w *twoCAs) { w.write("a.crl", w.a.PEM()) }, "crls[0]", "is not an X509 CRL"},
		{"an empty file for a list", func(w *twoCAs) { w.write("a.crl", nil) }, "crls[0]", "cannot be parsed"},
		{"a list of tomorrow", func(w *twoCAs) {
			text, err := w.a.CRL(time.Now().Add(48 * time.Hour))
			if err != nil {
				w.t.Fatal(err)
			}
			w.write("a.crl", text)
		}, "crls[0]", "not valid before"},
		{"a deny list that is cut off", func(w *twoCAs) { w.write("denied", []byte("serial=12\nserial=34")) }, "denied_certificates", "half-written"},
		{"no hexadecimal", func(w *twoCAs) { w.write("denied", []byte("\nserial=12xy\n")) }, "denied_certificates", "line 2: a serial number has"},
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

func TestDenyListsAreReadAsOpenSSLWritesThem(t *testing.T) {
	w := newTwoCAs(t)
	sum := sha256.Sum256(w.ofA.cert.Raw)
	for _, text := range []string{
		strings.ToLower(w.ofA.serialLine()), "\t" + w.ofA.serialLine(), "serial=000" + strings.TrimPrefix(w.ofA.serialLine(), "serial="),
		strings.TrimSpace(w.ofA.serialLine()) + " # alice's, of a\n", "SHA256 Fingerprint=" + hex.EncodeToString(sum[:]) + "\r\n",
	} {
		w.write("denied", []byte(text))
		w.start()
		w.want(text, w.chainA, "", tlsconf.ErrRevoked)
	}
}

func FuzzRevocations(f *testing.F) {
	ca, err := devca.New("fuzz")
	if err != nil {
		f.Fatal(err)
	}
	list, err := ca.CRL(time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(list)
	for _, seed := range [][]byte{nil, list, block.Bytes, []byte("serial=12\n"), []byte("sha256 Fingerprint=00\n# x\n"), bytes.Repeat([]byte("serial=1\n"), 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) { tlsconf.ParseRevocations(text) })
}
