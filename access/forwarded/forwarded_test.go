package forwarded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/access/forwarded"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate, signed by parent or by itself. It is valid at now unless change says otherwise.
func issue(t testing.TB, name string, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	signer := &issued{template, key}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
}

func pool(cas ...*issued) *x509.CertPool {
	p := x509.NewCertPool()
	for _, ca := range cas {
		p.AddCert(ca.cert)
	}
	return p
}

// field is a certificate as RFC 9440 has it.
func (i *issued) field() string {
	return ":" + base64.StdEncoding.EncodeToString(i.cert.Raw) + ":"
}

func fields(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h[http.CanonicalHeaderKey(pairs[i])] = append(h[http.CanonicalHeaderKey(pairs[i])], pairs[i+1])
	}
	return h
}

func rules(t testing.TB, roots *x509.CertPool, dnField string) *forwarded.Rules {
	t.Helper()
	r, err := forwarded.NewRules(roots, dnField)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestACertificateIsBelievedFromAListedProxyAndVerified(t *testing.T) {
	ca, other := issue(t, "CA", nil, isCA), issue(t, "other CA", nil, isCA)
	between := issue(t, "between", ca, isCA)
	alice, bob := issue(t, "alice", ca, nil), issue(t, "bob", between, nil)
	foreign := issue(t, "alice", other, nil)
	late := issue(t, "late", ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	early := issue(t, "early", ca, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })
	server := issue(t, "server", ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	self := issue(t, "alice", nil, nil)
	long := ":" + strings.Repeat("A", 16<<10) + ":"
	a, b, mid := alice.field(), bob.field(), between.field()

	listed := forwarded.TrustedProxy
	for _, test := range []struct {
		name   string
		from   forwarded.Peer
		fields http.Header
		want   string // common name
		err    error
	}{
		{"alice", listed, fields("Client-Cert", a), "alice", nil},
		{"spaces around it", listed, fields("Client-Cert", " "+a+" "), "alice", nil},
		{"bob by way of his issuer", listed, fields("Client-Cert", b, "Client-Cert-Chain", mid), "bob", nil},
		{"bob with the whole chain", listed, fields("Client-Cert", b, "Client-Cert-Chain", mid+", "+ca.field()), "bob", nil},
		{"alice with a chain that she does not need", listed, fields("Client-Cert", a, "Client-Cert-Chain", mid), "alice", nil},
		{"nobody", listed, fields(), "", nil},
		{"nobody from a stranger", forwarded.UntrustedPeer, fields("Authorization", "Bearer x"), "", nil},
		{"a DN field that is none", listed, fields("X-Client-Dn", "CN=alice"), "", nil},

		{"alice from a stranger", forwarded.UntrustedPeer, fields("Client-Cert", a), "", forwarded.ErrUntrustedPeer},
		{"alice from what is no peer at all", forwarded.Peer(7), fields("Client-Cert", a), "", forwarded.ErrUntrustedPeer},
		{"an empty field from a stranger", forwarded.UntrustedPeer, fields("Client-Cert", ""), "", forwarded.ErrUntrustedPeer},
		{"a chain from a stranger", forwarded.UntrustedPeer, fields("Client-Cert-Chain", mid), "", forwarded.ErrUntrustedPeer},

		{"bob without his issuer", listed, fields("Client-Cert", b), "", forwarded.ErrUnverified},
		{"another CA's alice", listed, fields("Client-Cert", foreign.field()), "", forwarded.ErrUnverified},
		{"another CA's alice who brings her CA", listed, fields("Client-Cert", foreign.field(), "Client-Cert-Chain", other.field()), "", forwarded.ErrUnverified},
		{"her own alice", listed, fields("Client-Cert", self.field()), "", forwarded.ErrUnverified},
		{"expired", listed, fields("Client-Cert", late.field()), "", forwarded.ErrUnverified},
		{"not yet valid", listed, fields("Client-Cert", early.field()), "", forwarded.ErrUnverified},
		{"a server's", listed, fields("Client-Cert", server.field()), "", forwarded.ErrUnverified},

		{"a chain alone", listed, fields("Client-Cert-Chain", mid), "", forwarded.ErrMalformed},
		{"two fields", listed, fields("Client-Cert", a, "Client-Cert", a), "", forwarded.ErrMalformed},
		{"two fields, the second empty", listed, fields("Client-Cert", a, "Client-Cert", ""), "", forwarded.ErrMalformed},
		{"two in one field", listed, fields("Client-Cert", a+", "+b), "", forwarded.ErrMalformed},
		{"two chains", listed, fields("Client-Cert", b, "Client-Cert-Chain", mid, "Client-Cert-Chain", mid), "", forwarded.ErrMalformed},
		{"an empty field", listed, fields("Client-Cert", ""), "", forwarded.ErrMalformed},
		{"an empty Byte Sequence", listed, fields("Client-Cert", "::"), "", forwarded.ErrMalformed},
		{"a parameter", listed, fields("Client-Cert", a+";proxy=1"), "", forwarded.ErrMalformed},
		{"an inner list", listed, fields("Client-Cert", "("+a+")"), "", forwarded.ErrMalformed},
		{"a String", listed, fields("Client-Cert", `"`+strings.Trim(a, ":")+`"`), "", forwarded.ErrMalformed},
		{"no colons", listed, fields("Client-Cert", strings.Trim(a, ":")), "", forwarded.ErrMalformed},
		{"PEM", listed, fields("Client-Cert", "-----BEGIN CERTIFICATE-----"), "", forwarded.ErrMalformed},
		{"DER with something after it", listed, fields("Client-Cert", ":"+base64.StdEncoding.EncodeToString(append(alice.cert.Raw, 0))+":"), "", forwarded.ErrMalformed},
		{"too long", listed, fields("Client-Cert", long), "", forwarded.ErrMalformed},
		{"a chain that is too long", listed, fields("Client-Cert", b, "Client-Cert-Chain", long), "", forwarded.ErrMalformed},
		{"a chain of five", listed, fields("Client-Cert", b, "Client-Cert-Chain", strings.Join([]string{mid, mid, mid, mid, mid}, ", ")), "", forwarded.ErrMalformed},
		{"an empty chain", listed, fields("Client-Cert", b, "Client-Cert-Chain", ""), "", forwarded.ErrMalformed},
		{"a chain of Inner Lists", listed, fields("Client-Cert", b, "Client-Cert-Chain", "("+mid+")"), "", forwarded.ErrMalformed},
		{"a chain of what is no certificate", listed, fields("Client-Cert", b, "Client-Cert-Chain", ":AAAA:"), "", forwarded.ErrMalformed},
		{"an underscore", listed, fields("Client_Cert", a), "", forwarded.ErrMalformed},
		{"an underscore from a stranger", forwarded.UntrustedPeer, fields("Client_Cert", a), "", forwarded.ErrMalformed},
		{"a dot", listed, fields("client.cert", a), "", forwarded.ErrMalformed},
		{"an underscore beside the right one", listed, fields("Client-Cert", a, "CLIENT_CERT", b), "", forwarded.ErrMalformed},
		{"an underscore in the chain's", listed, fields("Client-Cert", a, "Client-Cert_Chain", mid), "", forwarded.ErrMalformed},
		{"a name that net/http did not spell", listed, http.Header{"client-cert": {a}}, "", forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := rules(t, pool(ca), "").Client(test.fields, test.from, now)
			if !errors.Is(err, test.err) || c.CommonName != "" {
				t.Fatalf("%+v, %v; want %v", c, err, test.err)
			}
			if test.want == "" {
				if c.Chains != nil {
					t.Errorf("it is %s, want nobody", c.Chains[0][0].Subject)
				}
				return
			}
			last := c.Chains[0][len(c.Chains[0])-1]
			if leaf := c.Chains[0][0]; leaf.Subject.CommonName != test.want || !last.Equal(ca.cert) {
				t.Errorf("it is %s of %s, want %s of the CA", leaf.Subject, last.Subject, test.want)
			}
		})
	}
}

func TestWithoutRootsNothingVerifies(t *testing.T) {
	ca := issue(t, "CA", nil, isCA)
	h := fields("Client-Cert", issue(t, "alice", ca, nil).field())
	for name, r := range map[string]*forwarded.Rules{"zero": {}, "nil": rules(t, nil, ""), "an empty pool": rules(t, pool(), "")} {
		_, err := r.Client(h, forwarded.TrustedProxy, now)
		if !errors.Is(err, forwarded.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
		// The system's CAs, which nil means to crypto/x509, were not asked: they have another error where there are none.
		if name != "an empty pool" && !strings.Contains(err.Error(), "there is no CA of clients") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatHasVerifiedIsRememberedWhileItIsValid(t *testing.T) {
	ca := issue(t, "CA", nil, isCA)
	ca.cert.NotAfter = now.Add(3 * time.Hour)
	brief := issue(t, "brief", ca, func(c *x509.Certificate) { isCA(c); c.NotAfter = now.Add(time.Minute) })
	long := issue(t, "long", brief, nil)
	r := rules(t, pool(ca), "")
	h := fields("Client-Cert", long.field(), "Client-Cert-Chain", brief.field())
	client := func(h http.Header, at time.Time) error {
		_, err := r.Client(h, forwarded.TrustedProxy, at)
		return err
	}
	for range 2 {
		for at, want := range map[time.Time]error{
			now: nil, now.Add(time.Minute): nil,
			now.Add(time.Minute + time.Second): forwarded.ErrUnverified, // its issuer has expired
			now.Add(-2 * time.Hour):            forwarded.ErrUnverified,
		} {
			if err := client(h, at); !errors.Is(err, want) {
				t.Errorf("at %v: %v", at, err)
			}
		}
	}
	if err := client(fields("Client-Cert", long.field()), now); !errors.Is(err, forwarded.ErrUnverified) {
		t.Errorf("without the chain that it verified by: %v", err)
	}
	if _, err := r.Client(h, forwarded.UntrustedPeer, now); !errors.Is(err, forwarded.ErrUntrustedPeer) {
		t.Errorf("a stranger with what a proxy has sent: %v", err)
	}
	if n := testing.AllocsPerRun(10, func() { _ = client(h, now) }); n > 5 {
		t.Errorf("%v allocations: it is verified again", n)
	}
}

func TestADNIsBelievedWhereItIsConfigured(t *testing.T) {
	cert := issue(t, "alice", nil, nil).field()
	r := rules(t, nil, "x-client-dn")
	for _, test := range []struct {
		name   string
		from   forwarded.Peer
		fields http.Header
		want   string
		err    error
	}{
		{"a listed proxy's", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice,O=y"), "alice", nil},
		{"none", forwarded.TrustedProxy, fields(), "", nil},
		{"a stranger's", forwarded.UntrustedPeer, fields("X-Client-Dn", "CN=alice"), "", forwarded.ErrUntrustedPeer},
		{"a stranger's that is empty", forwarded.UntrustedPeer, fields("X-Client-Dn", ""), "", forwarded.ErrUntrustedPeer},
		{"two", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice", "X-Client-Dn", "CN=alice"), "", forwarded.ErrMalformed},
		{"an empty one", forwarded.TrustedProxy, fields("X-Client-Dn", ""), "", forwarded.ErrMalformed},
		{"a certificate beside it", forwarded.TrustedProxy, fields("X-Client-Dn", "CN=alice", "Client-Cert", cert), "", forwarded.ErrMalformed},
		{"an underscore", forwarded.TrustedProxy, fields("X_Client_Dn", "CN=alice"), "", forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := r.Client(test.fields, test.from, now)
			if c.Chains != nil || c.CommonName != test.want || !errors.Is(err, test.err) {
				t.Errorf("%+v, %v; want %q, %v", c, err, test.want, test.err)
			}
		})
	}
}

func TestADNHasOneCommonNameThatCanBeReadInOneWay(t *testing.T) {
	for _, test := range []struct{ dn, want string }{
		{"CN=alice", "alice"},
		{"/CN=alice", "alice"},
		{"CN=alice,O=y", "alice"},
		{"O=y,CN=alice", "alice"},
		{"/CN=alice/O=y", "alice"},
		{"/C=US/O=y/CN=alice", "alice"},
		{"cn=alice,dc=example,dc=org", "alice"},
		{"2.5.4.3=alice", "alice"},
		{"CN=two words,O=y", "two words"},
		{"CN=HTTP/wiki.example,O=y", "HTTP/wiki.example"},
		{"CN=Ålice,O=y", "Ålice"},
		{"emailAddress=a@example.org,CN=alice", "alice"},

		{"", ""}, {"/", ""}, {",", ""}, {"alice", ""}, {"O=y", ""}, {"/O=y", ""}, {"CN=", ""}, {"/CN=/O=y", ""}, {"=alice", ""},
		{"CN=alice,CN=bob", ""}, {"/CN=alice/CN=bob", ""}, {"CN=alice,cn=alice", ""}, {"CN=alice,commonName=bob", ""}, {"CN=alice,2.5.4.3=bob", ""},
		{"CN=alice+UID=1,O=y", ""}, {"/CN=alice+CN=bob", ""},
		{`CN=alice\,O=y`, ""}, {`CN=ali\63e`, ""}, {`O=a\,b,CN=alice`, ""}, {`CN="alice"`, ""}, {"CN=#0c05616c696365", ""}, {"CN=alice;O=y", ""}, {"CN=<alice>", ""},
		{"CN=a=b", ""}, {"CN=alice,", ""}, {",CN=alice", ""}, {"//CN=alice", ""}, {"/CN=alice/", ""}, {"/O=a/b/CN=alice", ""}, {"/CN=alice,O=y", ""},
		{" CN=alice", ""}, {"CN =alice", ""}, {"CN= alice", ""}, {"CN=alice ", ""}, {"CN=alice, O=y", ""}, {"O = y, CN = alice", ""},
		{"CN=ali\tce", ""}, {"CN=ali\x00ce", ""}, {"CN=ali\x7fce", ""}, {"CN=\xff", ""}, {"CN=(alice", "(alice"}, {"C N=alice", ""},
		{"O=" + strings.Repeat("y", 1017) + ",CN=a", "a"}, {"O=" + strings.Repeat("y", 1018) + ",CN=a", ""},
	} {
		c, err := rules(t, nil, "X-Client-Dn").Client(fields("X-Client-Dn", test.dn), forwarded.TrustedProxy, now)
		if c.CommonName != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, forwarded.ErrMalformed) {
			t.Errorf("%q is %q, %v; want %q", test.dn, c.CommonName, err, test.want)
		}
	}
}

func TestTheDNFieldHasNoOtherMeaning(t *testing.T) {
	for name, good := range map[string]bool{
		"X-Client-Dn": true, "x-ssl-client-s-dn": true, "X-1": true,
		"": true, "X-": false, "Authorization": false, "Client-Cert": false, "TTL": false, "X_Client_Dn": false, "X-Client Dn": false, "X-Client_Dn": false, "X-Client:Dn": false,
	} {
		if r, err := forwarded.NewRules(nil, name); (err == nil) != good || (r != nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzClientCert: whatever a proxy sends, a client is one whose certificate is, byte for byte, what one field has.
func FuzzClientCert(f *testing.F) {
	ca := issue(f, "CA", nil, isCA)
	between := issue(f, "between", ca, isCA)
	alice, bob := issue(f, "alice", ca, nil).field(), issue(f, "bob", between, nil).field()
	for _, seed := range [][2]string{
		{alice, ""}, {bob, between.field()}, {bob, between.field() + ", " + ca.field()}, {alice + ";a=1", ""}, {"(" + alice + ")", ""}, {"::", "::"}, {":AAAA:", ""},
		{alice + ", " + bob, ""}, {`"x"`, "?1"}, {"", ","}, {":", ":"}, {"@1", "%\"x\""}, {" " + alice, " "},
	} {
		f.Add(seed[0], seed[1])
	}
	r := rules(f, pool(ca), "")
	f.Fuzz(func(t *testing.T, cert, chain string) {
		h := fields("Client-Cert", cert)
		if chain != "" {
			h.Set("Client-Cert-Chain", chain)
		}
		if _, err := r.Client(h, forwarded.UntrustedPeer, now); !errors.Is(err, forwarded.ErrUntrustedPeer) {
			t.Fatalf("from a stranger: %v", err)
		}
		c, err := r.Client(h, forwarded.TrustedProxy, now)
		if (err == nil) != (c.Chains != nil) {
			t.Fatalf("%v with %v", c.Chains, err)
		}
		if err != nil {
			if !errors.Is(err, forwarded.ErrMalformed) && !errors.Is(err, forwarded.ErrUnverified) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		der, err := base64.StdEncoding.DecodeString(strings.Trim(cert, " :"))
		if err != nil || string(der) != string(c.Chains[0][0].Raw) {
			t.Fatalf("%q is not the certificate that was sent (%v)", cert, err)
		}
	})
}

// FuzzDN: a common name stands in the field as it is, once, as the value of one attribute.
func FuzzDN(f *testing.F) {
	for _, seed := range []string{
		"CN=alice", "/CN=alice", "CN=alice,O=y", "/C=US/O=y/CN=alice", "CN=alice,CN=bob", `CN=a\,b`, `CN="a"`, "CN=a+UID=1", "CN=#0c", "2.5.4.3=x", "commonName=x,CN=y", "CN=a=b", "", "/",
	} {
		f.Add(seed)
	}
	r := rules(f, nil, "X-Client-Dn")
	f.Fuzz(func(t *testing.T, dn string) {
		h := fields("X-Client-Dn", dn)
		if _, err := r.Client(h, forwarded.UntrustedPeer, now); !errors.Is(err, forwarded.ErrUntrustedPeer) {
			t.Fatalf("from a stranger: %v", err)
		}
		c, err := r.Client(h, forwarded.TrustedProxy, now)
		if (err == nil) != (c.CommonName != "") || err != nil && !errors.Is(err, forwarded.ErrMalformed) {
			t.Fatalf("%q with %v", c.CommonName, err)
		}
		if err != nil {
			return
		}
		lower := strings.ToLower(dn)
		count := strings.Count(lower, "cn=") + strings.Count(lower, "commonname=") + strings.Count(lower, "2.5.4.3=")
		if count < 1 || !strings.Contains(dn, "="+c.CommonName) || strings.ContainsAny(c.CommonName, "\"+,;<=>\\\x00\r\n") {
			t.Fatalf("%q has the name %q", dn, c.CommonName)
		}
	})
}
