package forwarded_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/access/forwarded"
	"userinfo/internal/certchain/certchaintest"
)

// envoyEscapes are the bytes of PEM that Envoy escapes.
var envoyEscapes = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

// encoded returns certificates as Envoy writes them into Cert and Chain: URL-encoded PEM, in quotes.
func encoded(certs ...*certchaintest.Entity) string {
	var text strings.Builder
	for _, c := range certs {
		text.WriteString(envoyEscapes.Replace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Cert.Raw}))))
	}
	return `"` + text.String() + `"`
}

func hashOf(i *certchaintest.Entity) string {
	sum := sha256.Sum256(i.Cert.Raw)
	return hex.EncodeToString(sum[:])
}

func TestRules_ClientVerifiesXFCCOfEnvoy(t *testing.T) {
	ca, other := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA), certchaintest.Issue(t, "other CA", nil, certchaintest.IsCA)
	between := certchaintest.Issue(t, "between", ca, certchaintest.IsCA)
	alice, bob := certchaintest.Issue(t, "alice", ca, nil), certchaintest.Issue(t, "bob", between, nil)
	late := certchaintest.Issue(t, "late", ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	server := certchaintest.Issue(t, "server", ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	foreign := certchaintest.Issue(t, "alice", other, nil)
	a, b := "Hash="+hashOf(alice)+";Cert="+encoded(alice), "Hash="+hashOf(bob)+";Cert="+encoded(bob)
	by, described := "By=spiffe://example.org/edge;", `;Subject="CN=alice,O=a\"b\\,c; d=e";URI=spiffe://example.org/alice?a=b;DNS=alice.example;DNS=www.alice.example`
	unquoted := strings.ReplaceAll(a, `"`, "")

	for _, test := range []struct {
		name, value string
		want        string // common name
		err         error
	}{
		{"alice", a, "alice", nil},
		{"alice, with everything that Envoy can write", by + a + ";Chain=" + encoded(alice, ca) + described, "alice", nil},
		{"alice, Chain alone", "Hash=" + hashOf(alice) + ";Chain=" + encoded(alice), "alice", nil},
		{"names in small letters", strings.NewReplacer("Hash=", "hash=", "Cert=", "CERT=").Replace(a), "alice", nil},
		{"a hash in capitals", "Hash=" + strings.ToUpper(hashOf(alice)) + ";Cert=" + encoded(alice), "alice", nil},
		{"not quoted", unquoted, "alice", nil},
		{"escapes in small letters", strings.NewReplacer("%0A", "%0a", "%2F", "%2f", "%3D", "%3d", "%2B", "%2b").Replace(a), "alice", nil},
		{"a field of a later Envoy", a + ";Next=1", "alice", nil},
		{"empty fields that are not used", "By=;" + a + ";Subject=\"\";URI=", "alice", nil},
		{"bob with his issuer", b + ";Chain=" + encoded(bob, between), "bob", nil},
		{"bob with the whole chain", b + ";Chain=" + encoded(bob, between, ca), "bob", nil},
		{"bob, Chain alone", "Hash=" + hashOf(bob) + ";Chain=" + encoded(bob, between), "bob", nil},

		{"bob without his issuer", b, "", forwarded.ErrUnverified},
		{"alice of another CA", "Hash=" + hashOf(foreign) + ";Cert=" + encoded(foreign), "", forwarded.ErrUnverified},
		{"alice of another CA with that CA", "Hash=" + hashOf(foreign) + ";Cert=" + encoded(foreign) + ";Chain=" + encoded(foreign, other), "", forwarded.ErrUnverified},
		{"expired", "Hash=" + hashOf(late) + ";Cert=" + encoded(late), "", forwarded.ErrUnverified},
		{"a server certificate", "Hash=" + hashOf(server) + ";Cert=" + encoded(server), "", forwarded.ErrUnverified},

		{"empty", "", "", forwarded.ErrMalformed},
		{"no hash", "Cert=" + encoded(alice), "", forwarded.ErrMalformed},
		{"an empty hash", "Hash=;Cert=" + encoded(alice), "", forwarded.ErrMalformed},
		{"a hash alone", "Hash=" + hashOf(alice), "", forwarded.ErrMalformed},
		{"a description alone", by + "Hash=" + hashOf(alice) + described, "", forwarded.ErrMalformed},
		{"an empty Cert", "Cert=\"\";Hash=" + hashOf(alice), "", forwarded.ErrMalformed},
		{"an empty Cert and a Chain", "Cert=;Chain=" + encoded(alice), "", forwarded.ErrMalformed},
		{"two elements", a + "," + b, "", forwarded.ErrMalformed},
		{"two elements, the second without a certificate", a + ",By=x", "", forwarded.ErrMalformed},
		{"an empty second element", a + ",", "", forwarded.ErrMalformed},
		{"an empty first element", "," + a, "", forwarded.ErrMalformed},
		{"two certificates in Cert", "Cert=" + encoded(alice, ca), "", forwarded.ErrMalformed},
		{"Cert twice", a + ";Cert=" + encoded(bob), "", forwarded.ErrMalformed},
		{"the same Cert twice", a + ";cert=" + encoded(alice), "", forwarded.ErrMalformed},
		{"Hash twice", a + ";Hash=" + hashOf(alice), "", forwarded.ErrMalformed},
		{"Chain twice", a + ";Chain=" + encoded(alice) + ";Chain=" + encoded(alice), "", forwarded.ErrMalformed},
		{"a Chain that begins with another certificate", a + ";Chain=" + encoded(bob, between), "", forwarded.ErrMalformed},
		{"a Chain of six", a + ";Chain=" + encoded(alice, ca, ca, ca, ca, ca), "", forwarded.ErrMalformed},
		{"another hash", "Hash=" + hashOf(bob) + ";Cert=" + encoded(alice), "", forwarded.ErrMalformed},

		// mallory's certificate names a URI that contains fields. Envoy writes it unchanged, after mallory's own hash.
		{"a Cert in the URI of a client", "Hash=" + hashOf(bob) + ";URI=spiffe://x;Cert=" + encoded(alice), "", forwarded.ErrMalformed},
		{"a Chain in the URI of a client", "Hash=" + hashOf(bob) + ";URI=spiffe://x;Chain=" + encoded(alice), "", forwarded.ErrMalformed},
		{"a Cert and a Hash in the URI of a client", "Hash=" + hashOf(bob) + ";URI=spiffe://x;Cert=" + encoded(alice) + ";Hash=" + hashOf(alice), "", forwarded.ErrMalformed},
		{"an element in the URI of a client", b + ";URI=spiffe://x," + a, "", forwarded.ErrMalformed},
		{"a quote in the subject of a client", b + `;Subject="CN=x";` + a + `;X=""`, "", forwarded.ErrMalformed},

		{"no PEM", "Cert=alice", "", forwarded.ErrMalformed},
		{"an escape that is cut", "Cert=\"%2\"", "", forwarded.ErrMalformed},
		{"text before the PEM", `Cert="x%0A` + encoded(alice)[1:], "", forwarded.ErrMalformed},
		{"text after the PEM", strings.TrimSuffix(a, `"`) + `x"`, "", forwarded.ErrMalformed},
		{"another kind of PEM", strings.ReplaceAll(a, "CERTIFICATE", "PUBLIC%20KEY"), "", forwarded.ErrMalformed},
		{"PEM with a header", strings.Replace(a, "-----%0A", "-----%0Aa:%20b%0A%0A", 1), "", forwarded.ErrMalformed},
		{"PEM with other line ends", strings.ReplaceAll(a, "%0A", "%0D%0A"), "", forwarded.ErrMalformed},
		{"escaped twice", strings.ReplaceAll(a, "%", "%25"), "", forwarded.ErrMalformed},
		{"a certificate that is not DER", `Cert="` + envoyEscapes.Replace("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") + `"`, "", forwarded.ErrMalformed},
		{"no name", "=x;" + a, "", forwarded.ErrMalformed},
		{"no value", "Cert", "", forwarded.ErrMalformed},
		{"an empty field at the end", a + ";", "", forwarded.ErrMalformed},
		{"a space after a semicolon", strings.Replace(a, ";", "; ", 1), "", forwarded.ErrMalformed},
		{"a name with a hyphen", "X-Y=1;" + a, "", forwarded.ErrMalformed},
		{"a quote that is not closed", strings.TrimSuffix(a, `"`), "", forwarded.ErrMalformed},
		{"a quote that ends with a backslash", a + `;Subject="\`, "", forwarded.ErrMalformed},
		{"text after a quote", a + "x", "", forwarded.ErrMalformed},
		{"a quote in a plain value", unquoted + `;By=x"y"`, "", forwarded.ErrMalformed},
		{"RFC 9440", fieldOf(alice), "", forwarded.ErrMalformed},
		{"too long", a + ";By=" + strings.Repeat("x", 32<<10), "", forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := rules(t, pool(ca), "").Client(fields("X-Forwarded-Client-Cert", test.value), forwarded.XFCCProxy, now)
			switch {
			case !errors.Is(err, test.err), (c.Chains == nil) != (test.want == ""), c.CommonName != "":
				t.Errorf("%+v, %v; want %q, %v", c, err, test.want, test.err)
			case test.want != "" && c.Chains[0][0].Subject.CommonName != test.want:
				t.Errorf("client %s; want %s", c.Chains[0][0].Subject, test.want)
			}
		})
	}
}

func TestRules_ClientAcceptsXFCCFromItsProxyOnly(t *testing.T) {
	ca := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA)
	alice := certchaintest.Issue(t, "alice", ca, nil)
	xfcc, rfc := "Hash="+hashOf(alice)+";Cert="+encoded(alice), fieldOf(alice)
	r := rules(t, pool(ca), "X-Client-Dn")
	for _, test := range []struct {
		name   string
		from   forwarded.Peer
		fields http.Header
		err    error
	}{
		{"from Envoy", forwarded.XFCCProxy, fields("X-Forwarded-Client-Cert", xfcc), nil},
		{"no header, from Envoy", forwarded.XFCCProxy, fields(), nil},
		{"from an untrusted sender", forwarded.UntrustedPeer, fields("X-Forwarded-Client-Cert", xfcc), forwarded.ErrUntrustedPeer},
		{"empty, from an untrusted sender", forwarded.UntrustedPeer, fields("X-Forwarded-Client-Cert", ""), forwarded.ErrUntrustedPeer},
		{"from an unknown kind of peer", forwarded.Peer(7), fields("X-Forwarded-Client-Cert", xfcc), forwarded.ErrUntrustedPeer},
		{"from a proxy of RFC 9440", forwarded.TrustedProxy, fields("X-Forwarded-Client-Cert", xfcc), forwarded.ErrMalformed},
		{"from a proxy of RFC 9440, with Client-Cert", forwarded.TrustedProxy, fields("X-Forwarded-Client-Cert", xfcc, "Client-Cert", rfc), forwarded.ErrMalformed},
		{"Client-Cert from Envoy", forwarded.XFCCProxy, fields("Client-Cert", rfc), forwarded.ErrMalformed},
		{"both from Envoy", forwarded.XFCCProxy, fields("X-Forwarded-Client-Cert", xfcc, "Client-Cert", rfc), forwarded.ErrMalformed},
		{"a chain from Envoy", forwarded.XFCCProxy, fields("X-Forwarded-Client-Cert", xfcc, "Client-Cert-Chain", rfc), forwarded.ErrMalformed},
		{"a distinguished name from Envoy", forwarded.XFCCProxy, fields("X-Client-Dn", "CN=alice"), forwarded.ErrMalformed},
		{"two headers", forwarded.XFCCProxy, fields("X-Forwarded-Client-Cert", xfcc, "X-Forwarded-Client-Cert", xfcc), forwarded.ErrMalformed},
		{"an underscore", forwarded.XFCCProxy, fields("X_Forwarded_Client_Cert", xfcc), forwarded.ErrMalformed},
		{"an underscore, from an untrusted sender", forwarded.UntrustedPeer, fields("X-Forwarded_Client-Cert", xfcc), forwarded.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := r.Client(test.fields, test.from, now)
			if !errors.Is(err, test.err) || (c.Chains != nil) != (test.err == nil && len(test.fields) > 0) || c.CommonName != "" {
				t.Errorf("%+v, %v; want %v", c, err, test.err)
			}
		})
	}
	if _, err := rules(t, nil, "").Client(fields("X-Forwarded-Client-Cert", xfcc), forwarded.XFCCProxy, now); !errors.Is(err, forwarded.ErrUnverified) {
		t.Errorf("without client CAs: %v", err)
	}
}

func TestRules_ClientCachesXFCCWhileValid(t *testing.T) {
	ca := certchaintest.Issue(t, "CA", nil, certchaintest.IsCA)
	brief := certchaintest.Issue(t, "brief", ca, func(c *x509.Certificate) { c.NotAfter = now.Add(time.Minute) })
	r := rules(t, pool(ca), "")
	h := fields("X-Forwarded-Client-Cert", "Hash="+hashOf(brief)+";Cert="+encoded(brief))
	for range 2 {
		if _, err := r.Client(h, forwarded.XFCCProxy, now); err != nil {
			t.Error(err)
		}
		if _, err := r.Client(h, forwarded.XFCCProxy, now.Add(time.Hour)); !errors.Is(err, forwarded.ErrUnverified) {
			t.Errorf("an hour later: %v", err)
		}
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = r.Client(h, forwarded.XFCCProxy, now) }); n > 6 {
		t.Errorf("%v allocations; want the cached chains", n)
	}
}

// FuzzXFCC checks that an accepted certificate is in the header, that there is one element, and that Hash agrees.
func FuzzXFCC(f *testing.F) {
	ca := certchaintest.Issue(f, "CA", nil, certchaintest.IsCA)
	alice := certchaintest.Issue(f, "alice", ca, nil)
	cert, chain := encoded(alice), encoded(alice, ca)
	for _, seed := range []string{
		"Hash=" + hashOf(alice) + ";Cert=" + cert, "By=spiffe://a/b;Hash=" + hashOf(alice) + ";Cert=" + cert + ";Chain=" + chain + `;Subject="CN=a\"b";URI=;DNS=a`,
		"Chain=" + chain, "Cert=" + cert + ",Cert=" + cert, "cert=" + strings.Trim(cert, `"`), `Subject="a\\";Cert=` + cert, `Subject="a\";Cert=` + cert, "Hash=00;Cert=" + cert,
		"", "=", ";", ",", `"`, `Cert="`, `Cert="\`, "Cert=%", "Hash=" + hashOf(alice), "Cert=" + cert + ";Cert=" + cert, "Cert=\"\"",
	} {
		f.Add(seed)
	}
	r := rules(f, pool(ca), "")
	f.Fuzz(func(t *testing.T, value string) {
		h := fields("X-Forwarded-Client-Cert", value)
		for _, from := range []forwarded.Peer{forwarded.UntrustedPeer, forwarded.TrustedProxy} {
			if c, err := r.Client(h, from, now); err == nil || c.Chains != nil {
				t.Fatalf("accepted from peer %d", from)
			}
		}
		c, err := r.Client(h, forwarded.XFCCProxy, now)
		if (err == nil) != (c.Chains != nil) {
			t.Fatalf("%v with %v", c.Chains, err)
		}
		if err != nil {
			if !errors.Is(err, forwarded.ErrMalformed) && !errors.Is(err, forwarded.ErrUnverified) {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			return
		}
		lower := strings.ToLower(value)
		if !c.Chains[0][0].Equal(alice.Cert) && !c.Chains[0][0].Equal(ca.Cert) || !strings.Contains(lower, "cert=") && !strings.Contains(lower, "chain=") {
			t.Fatalf("%q: accepted %s", value, c.Chains[0][0].Subject)
		}
	})
}
