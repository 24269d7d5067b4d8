package forwarded_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/access/forwarded"
	"userinfo/internal/certchain/certchaintest"
)

func TestRules_ClientVerifiesCertificateOfTrustedProxy(t *testing.T) {
	ca, other := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA), certchaintest.Issue(t, "other CA", nil, certchaintest.IsCA)
	between := certchaintest.Issue(t, "between", ca, certchaintest.IsCA)
	alice, bob := certchaintest.Issue(t, "alice", ca, nil), certchaintest.Issue(t, "bob", between, nil)
	foreign := certchaintest.Issue(t, "alice", other, nil)
	late := certchaintest.Issue(t, "late", ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	early := certchaintest.Issue(t, "early", ca, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })
	server := certchaintest.Issue(t, "server", ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	self := certchaintest.Issue(t, "alice", nil, nil)
	long := ":" + strings.Repeat("A", 16<<10) + ":"
	a, b, mid := fieldOf(alice), fieldOf(bob), fieldOf(between)

	trusted := forwarded.TrustedProxy
	for _, test := range []struct {
		name   string
		from   forwarded.Peer
		fields http.Header
		want   string // common name
		err    error
	}{
		{"alice", trusted, fields("Client-Cert", a), "alice", nil},
		{"spaces around the value", trusted, fields("Client-Cert", " "+a+" "), "alice", nil},
		{"bob with his issuer", trusted, fields("Client-Cert", b, "Client-Cert-Chain", mid), "bob", nil},
		{"bob with the whole chain", trusted, fields("Client-Cert", b, "Client-Cert-Chain", mid+", "+fieldOf(ca)), "bob", nil},
		{"alice with a chain that is not needed", trusted, fields("Client-Cert", a, "Client-Cert-Chain", mid), "alice", nil},
		{"no headers", trusted, fields(), "", nil},
		{"no headers, untrusted", forwarded.UntrustedPeer, fields("Authorization", "Bearer x"), "", nil},
		{"a DN header that is not configured", trusted, fields("X-Client-Dn", "CN=alice"), "", nil},

		{"alice, untrusted", forwarded.UntrustedPeer, fields("Client-Cert", a), "", forwarded.ErrUntrustedPeer},
		{"alice, unknown kind of peer", forwarded.Peer(7), fields("Client-Cert", a), "", forwarded.ErrUntrustedPeer},
		{"an empty header, untrusted", forwarded.UntrustedPeer, fields("Client-Cert", ""), "", forwarded.ErrUntrustedPeer},
		{"a chain, untrusted", forwarded.UntrustedPeer, fields("Client-Cert-Chain", mid), "", forwarded.ErrUntrustedPeer},

		{"bob without his issuer", trusted, fields("Client-Cert", b), "", forwarded.ErrUnverified},
		{"alice of another CA", trusted, fields("Client-Cert", fieldOf(foreign)), "", forwarded.ErrUnverified},
		{"alice of another CA with that CA", trusted, fields("Client-Cert", fieldOf(foreign), "Client-Cert-Chain", fieldOf(other)), "", forwarded.ErrUnverified},
		{"self-signed alice", trusted, fields("Client-Cert", fieldOf(self)), "", forwarded.ErrUnverified},
		{"expired", trusted, fields("Client-Cert", fieldOf(late)), "", forwarded.ErrUnverified},
		{"not yet valid", trusted, fields("Client-Cert", fieldOf(early)), "", forwarded.ErrUnverified},
		{"a server certificate", trusted, fields("Client-Cert", fieldOf(server)), "", forwarded.ErrUnverified},

		{"a chain alone", trusted, fields("Client-Cert-Chain", mid), "", forwarded.ErrMalformed},
		{"two headers", trusted, fields("Client-Cert", a, "Client-Cert", a), "", forwarded.ErrMalformed},
		{"two headers, the second empty", trusted, fields("Client-Cert", a, "Client-Cert", ""), "", forwarded.ErrMalformed},
		{"two certificates in one header", trusted, fields("Client-Cert", a+", "+b), "", forwarded.ErrMalformed},
		{"two chains", trusted, fields("Client-Cert", b, "Client-Cert-Chain", mid, "Client-Cert-Chain", mid), "", forwarded.ErrMalformed},
		{"an empty header", trusted, fields("Client-Cert", ""), "", forwarded.ErrMalformed},
		{"an empty Byte Sequence", trusted, fields("Client-Cert", "::"), "", forwarded.ErrMalformed},
		{"a parameter", trusted, fields("Client-Cert", a+";proxy=1"), "", forwarded.ErrMalformed},
		{"an inner list", trusted, fields("Client-Cert", "("+a+")"), "", forwarded.ErrMalformed},
		{"a String", trusted, fields("Client-Cert", `"`+strings.Trim(a, ":")+`"`), "", forwarded.ErrMalformed},
		{"no colons", trusted, fields("Client-Cert", strings.Trim(a, ":")), "", forwarded.ErrMalformed},
		{"PEM", trusted, fields("Client-Cert", "-----BEGIN CERTIFICATE-----"), "", forwarded.ErrMalformed},
		{"a byte after the DER", trusted, fields("Client-Cert", ":"+base64.StdEncoding.EncodeToString(append(alice.Cert.Raw, 0))+":"), "", forwarded.ErrMalformed},
		{"too long", trusted, fields("Client-Cert", long), "", forwarded.ErrMalformed},
		{"a chain that is too long", trusted, fields("Client-Cert", b, "Client-Cert-Chain", long), "", forwarded.ErrMalformed},
		{"a chain of five", trusted, fields("Client-Cert", b, "Client-Cert-Chain", strings.Join([]string{mid, mid, mid, mid, mid}, ", ")), "", forwarded.ErrMalformed},
		{"an empty chain", trusted, fields("Client-Cert", b, "Client-Cert-Chain", ""), "", forwarded.ErrMalformed},
		{"a chain of Inner Lists", trusted, fields("Client-Cert", b, "Client-Cert-Chain", "("+mid+")"), "", forwarded.ErrMalformed},
		{"a chain that contains no certificate", trusted, fields("Client-Cert", b, "Client-Cert-Chain", ":AAAA:"), "", forwarded.ErrMalformed},
		{"an underscore", trusted, fields("Client_Cert", a), "", forwarded.ErrMalformed},
		{"an underscore, untrusted", forwarded.UntrustedPeer, fields("Client_Cert", a), "", forwarded.ErrMalformed},
		{"a dot", trusted, fields("client.cert", a), "", forwarded.ErrMalformed},
		{"an underscore and the correct name", trusted, fields("Client-Cert", a, "CLIENT_CERT", b), "", forwarded.ErrMalformed},
		{"an underscore in the name of the chain", trusted, fields("Client-Cert", a, "Client-Cert_Chain", mid), "", forwarded.ErrMalformed},
		{"a name that is not canonical", trusted, http.Header{"client-cert": {a}}, "", forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := rules(t, pool(ca), "").Client(test.fields, test.from, now)
			if !errors.Is(err, test.err) || c.CommonName != "" {
				t.Fatalf("%+v, %v; want %v", c, err, test.err)
			}
			if test.want == "" {
				if c.Chains != nil {
					t.Errorf("client %s; want none", c.Chains[0][0].Subject)
				}
				return
			}
			last := c.Chains[0][len(c.Chains[0])-1]
			if leaf := c.Chains[0][0]; leaf.Subject.CommonName != test.want || !last.Equal(ca.Cert) {
				t.Errorf("client %s of CA %s; want %s of the client CA", leaf.Subject, last.Subject, test.want)
			}
		})
	}
}

func TestRules_ClientFailsClosedWithoutRoots(t *testing.T) {
	ca := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA)
	h := fields("Client-Cert", fieldOf(certchaintest.Issue(t, "alice", ca, nil)))
	for name, r := range map[string]*forwarded.Rules{"zero": {}, "nil": rules(t, nil, ""), "an empty pool": rules(t, pool(), "")} {
		_, err := r.Client(h, forwarded.TrustedProxy, now)
		if !errors.Is(err, forwarded.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
		// crypto/x509 uses the system's CAs for nil. Their error is another one.
		if name != "an empty pool" && !strings.Contains(err.Error(), "no client CA is configured") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRules_ClientCachesCertificateWhileValid(t *testing.T) {
	ca := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA)
	ca.Cert.NotAfter = now.Add(3 * time.Hour)
	brief := certchaintest.Issue(t, "brief", ca, func(c *x509.Certificate) { certchaintest.IsCA(c); c.NotAfter = now.Add(time.Minute) })
	long := certchaintest.Issue(t, "long", brief, nil)
	r := rules(t, pool(ca), "")
	h := fields("Client-Cert", fieldOf(long), "Client-Cert-Chain", fieldOf(brief))
	client := func(h http.Header, at time.Time) error {
		_, err := r.Client(h, forwarded.TrustedProxy, at)
		return err
	}
	for range 2 {
		for at, want := range map[time.Time]error{
			now: nil, now.Add(time.Minute): nil,
			now.Add(time.Minute + time.Second): forwarded.ErrUnverified, // the issuer has expired
			now.Add(-2 * time.Hour):            forwarded.ErrUnverified,
		} {
			if err := client(h, at); !errors.Is(err, want) {
				t.Errorf("at %v: %v", at, err)
			}
		}
	}
	if err := client(fields("Client-Cert", fieldOf(long)), now); !errors.Is(err, forwarded.ErrUnverified) {
		t.Errorf("without the chain: %v", err)
	}
	if _, err := r.Client(h, forwarded.UntrustedPeer, now); !errors.Is(err, forwarded.ErrUntrustedPeer) {
		t.Errorf("untrusted, with headers that a proxy has sent: %v", err)
	}
	if n := testing.AllocsPerRun(10, func() { _ = client(h, now) }); n > 5 {
		t.Errorf("%v allocations; want the cached chains", n)
	}
}

// FuzzClientCert checks that an accepted certificate is exactly the one in the header.
func FuzzClientCert(f *testing.F) {
	ca := certchaintest.Issue(f, "CA", nil, certchaintest.IsCA)
	between := certchaintest.Issue(f, "between", ca, certchaintest.IsCA)
	alice, bob := fieldOf(certchaintest.Issue(f, "alice", ca, nil)), fieldOf(certchaintest.Issue(f, "bob", between, nil))
	for _, seed := range [][2]string{
		{alice, ""}, {bob, fieldOf(between)}, {bob, fieldOf(between) + ", " + fieldOf(ca)}, {alice + ";a=1", ""}, {"(" + alice + ")", ""}, {"::", "::"}, {":AAAA:", ""},
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
			t.Fatalf("untrusted: %v", err)
		}
		c, err := r.Client(h, forwarded.TrustedProxy, now)
		if (err == nil) != (c.Chains != nil) {
			t.Fatalf("%v with %v", c.Chains, err)
		}
		if err != nil {
			if !errors.Is(err, forwarded.ErrMalformed) && !errors.Is(err, forwarded.ErrUnverified) {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			return
		}
		der, err := base64.StdEncoding.DecodeString(strings.Trim(cert, " :"))
		if err != nil || string(der) != string(c.Chains[0][0].Raw) {
			t.Fatalf("%q is not the certificate in the header (%v)", cert, err)
		}
	})
}

// TestRules_ErrorsQuoteNoNameOfACertificate is about names that anybody may choose: errors are logged.
func TestRules_ErrorsQuoteNoNameOfACertificate(t *testing.T) {
	ca, other := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA), certchaintest.Issue(t, "planted CA", nil, certchaintest.IsCA)
	for name, c := range map[string]*certchaintest.Entity{
		"of another CA": certchaintest.Issue(t, "planted", other, nil),
		"expired":       certchaintest.Issue(t, "planted", ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }),
		"of a server": certchaintest.Issue(t, "planted", ca, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
	} {
		_, err := rules(t, pool(ca), "").Client(fields("Client-Cert", fieldOf(c), "Client-Cert-Chain", fieldOf(other)), forwarded.TrustedProxy, now)
		if !errors.Is(err, forwarded.ErrUnverified) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
