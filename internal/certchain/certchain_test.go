package certchain_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"userinfo/internal/certchain"
	"userinfo/internal/certchain/certchaintest"
)

var now = certchaintest.Now

// imitate returns an issuer with the name of ca and another key. Its certificates name no key.
func imitate(t testing.TB, ca *certchaintest.Entity) *certchaintest.Entity {
	t.Helper()
	return &certchaintest.Entity{Cert: &x509.Certificate{RawSubject: ca.Cert.RawSubject}, Key: certchaintest.Issue(t, "any", nil, nil).Key}
}

// chain returns n CAs, each signed by the one before, the first by root.
func chain(t testing.TB, root *certchaintest.Entity, n int) (cas []*certchaintest.Entity) {
	t.Helper()
	for i := range n {
		root = certchaintest.Issue(t, fmt.Sprint("issuer ", i), root, certchaintest.IsCA)
		cas = append(cas, root)
	}
	return cas
}

func certs(of ...*certchaintest.Entity) (all []*x509.Certificate) {
	for _, e := range of {
		all = append(all, e.Cert)
	}
	return all
}

// counted returns a Verifier of a CA, and the number of signatures that it has verified itself.
func counted(cas ...*certchaintest.Entity) (*certchain.Verifier, *int) {
	v, n := certchain.New(certs(cas...)...), new(int)
	v.CountSignatures(func() { *n++ })
	return v, n
}

func TestVerifier_RefusesLongListUnread(t *testing.T) {
	root := certchaintest.Issue(t, "root", nil, certchaintest.IsCA)
	issuers := chain(t, root, certchain.MaxIssuers+1)
	leaf := certchaintest.Issue(t, "wiki", issuers[len(issuers)-1], nil)
	v, signatures := counted(root)
	if _, err := v.Verify(certs(append([]*certchaintest.Entity{leaf}, issuers...)...), now); !errors.Is(err, certchain.ErrTooLong) || *signatures != 0 {
		t.Errorf("%d issuers: error %v after %d signatures; want ErrTooLong after none", len(issuers), err, *signatures)
	}
	leaf = certchaintest.Issue(t, "wiki", issuers[certchain.MaxIssuers-1], nil)
	chains, err := v.Verify(certs(append([]*certchaintest.Entity{leaf}, issuers[:certchain.MaxIssuers]...)...), now)
	if err != nil || len(chains[0]) != certchain.MaxIssuers+2 || *signatures != certchain.MaxIssuers+1 {
		t.Errorf("%d issuers: %v after %d signatures; want a chain after %d", certchain.MaxIssuers, err, *signatures, certchain.MaxIssuers+1)
	}
}

// TestVerifier_StrangersCauseFewSignatures counts the signatures that a list without any chain to a CA causes.
func TestVerifier_StrangersCauseFewSignatures(t *testing.T) {
	root := certchaintest.Issue(t, "root", nil, certchaintest.IsCA)
	namesake := certchaintest.Issue(t, "root", nil, certchaintest.IsCA) // same name, other key
	imitation := imitate(t, root)
	real := chain(t, root, 1)[0]
	foreign := chain(t, certchaintest.Issue(t, "foreign", nil, certchaintest.IsCA), certchain.MaxIssuers)

	// Four certificates of one key that sign each other in every order: crypto/x509 would verify 64 signatures.
	loop := certchaintest.Issue(t, "loop", nil, certchaintest.IsCA)
	var mesh []*certchaintest.Entity
	for i := range certchain.MaxIssuers {
		mesh = append(mesh, certchaintest.IssueKey(t, "loop", loop.Key, loop, func(c *x509.Certificate) {
			certchaintest.IsCA(c)
			c.DNSNames = []string{fmt.Sprint(i, ".example")}
		}))
	}
	var claims []*certchaintest.Entity // all claim to be issued by the root, and do not name its key
	for i := range certchain.MaxIssuers {
		claims = append(claims, certchaintest.Issue(t, fmt.Sprint("claim ", i), imitation, certchaintest.IsCA))
	}
	for _, test := range []struct {
		name  string
		certs []*certchaintest.Entity
		want  int // signatures
	}{
		{"a chain of its own", append([]*certchaintest.Entity{certchaintest.Issue(t, "wiki", foreign[3], nil)}, foreign...), 0},
		{"a chain of its own below the CA's name", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", namesake, nil), namesake}, 1},
		{"a mesh", append([]*certchaintest.Entity{certchaintest.Issue(t, "wiki", mesh[0], nil)}, mesh...), 0},
		{"issuers that claim to be the CA's", append([]*certchaintest.Entity{certchaintest.Issue(t, "wiki", imitation, nil)}, claims...), 2},
		{"a real issuer", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", imitation, nil), real}, 2},
		{"the root", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", imitation, nil), root}, 1},
	} {
		v, signatures := counted(root)
		for range 2 { // nothing is remembered
			*signatures = 0
			if _, err := v.Verify(certs(test.certs...), now); !errors.Is(err, certchain.ErrUnknownCA) || *signatures != test.want {
				t.Errorf("%s: error %v after %d signatures; want ErrUnknownCA after %d", test.name, err, *signatures, test.want)
			}
		}
	}
}

// TestVerifier_AgreesWithX509 compares lists of certificates that clients send.
func TestVerifier_AgreesWithX509(t *testing.T) {
	root, other := certchaintest.Issue(t, "root", nil, certchaintest.IsCA), certchaintest.Issue(t, "other", nil, certchaintest.IsCA)
	issuers := chain(t, root, 3)
	leaf := certchaintest.Issue(t, "wiki", issuers[2], nil)
	crossed := certchaintest.IssueKey(t, "issuer 2", issuers[2].Key, other, certchaintest.IsCA) // the same CA, signed by the other root too
	unused := certchaintest.Issue(t, "unused", nil, certchaintest.IsCA)
	old := certchaintest.Issue(t, "issuer 2", certchaintest.Issue(t, "root", nil, certchaintest.IsCA), certchaintest.IsCA) // of a root that is not trusted any more
	ended := certchaintest.Issue(t, "wiki", root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	server := certchaintest.Issue(t, "wiki", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	short := certchaintest.Issue(t, "short", root, func(c *x509.Certificate) { certchaintest.IsCA(c); c.MaxPathLenZero = true })
	tooDeep := certchaintest.Issue(t, "too deep", short, certchaintest.IsCA)
	notCA := certchaintest.Issue(t, "not a CA", root, nil)
	for _, test := range []struct {
		name string
		list []*certchaintest.Entity
	}{
		{"signed by a root", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", root, nil)}},
		{"in order", []*certchaintest.Entity{leaf, issuers[2], issuers[1], issuers[0]}},
		{"root first", []*certchaintest.Entity{leaf, issuers[0], issuers[1], issuers[2]}},
		{"with the root", []*certchaintest.Entity{leaf, issuers[2], issuers[1], issuers[0], root}},
		{"twice", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", issuers[0], nil), issuers[0], issuers[0]}},
		{"two chains", []*certchaintest.Entity{leaf, issuers[2], crossed, issuers[1], issuers[0]}},
		{"with an unused certificate", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", root, nil), unused}},
		{"with an issuer of a former root", []*certchaintest.Entity{leaf, old, issuers[2], issuers[1], issuers[0]}},
		{"without an issuer", []*certchaintest.Entity{leaf, issuers[2], issuers[0]}},
		{"expired", []*certchaintest.Entity{ended}},
		{"for servers", []*certchaintest.Entity{server}},
		{"too deep", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", tooDeep, nil), tooDeep, short}},
		{"signed by a client", []*certchaintest.Entity{certchaintest.Issue(t, "wiki", notCA, nil), notCA}},
		{"the root itself", []*certchaintest.Entity{root}},
	} {
		v := certchain.New(root.Cert, other.Cert)
		got, err := v.Verify(certs(test.list...), now)
		options := x509.VerifyOptions{Roots: v.Pool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		for _, c := range certs(test.list[1:]...) {
			options.Intermediates.AddCert(c)
		}
		want, wantErr := test.list[0].Cert.Verify(options)
		if (err == nil) != (wantErr == nil) || !sameChains(got, want) {
			t.Errorf("%s: %d chains, error %v; crypto/x509 finds %d, %v", test.name, len(got), err, len(want), wantErr)
		}
	}
}

// sameChains compares chains in any order.
func sameChains(a, b [][]*x509.Certificate) bool {
	equal := func(x []*x509.Certificate) func([]*x509.Certificate) bool {
		return func(y []*x509.Certificate) bool { return slices.EqualFunc(x, y, (*x509.Certificate).Equal) }
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, equal(x)) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestVerifier_RemembersExactlyWhatItVerified(t *testing.T) {
	root := certchaintest.Issue(t, "root", nil, certchaintest.IsCA)
	issuer := chain(t, root, 1)[0]
	leaf := certchaintest.Issue(t, "wiki", issuer, nil)
	list := certs(leaf, issuer)
	raw := [][]byte{leaf.Cert.Raw, issuer.Cert.Raw}
	v, signatures := counted(root)
	if v.Remembered(raw, now) != nil {
		t.Error("chains are remembered before they are verified")
	}
	first, err := v.Verify(list, now)
	if err != nil {
		t.Fatal(err)
	}
	*signatures = 0
	again, err := v.Verify(list, now)
	if err != nil || *signatures != 0 || &again[0][0] != &first[0][0] {
		t.Errorf("the same list again: error %v, %d signatures; want the remembered chains", err, *signatures)
	}
	if v.Remembered(raw, now) == nil {
		t.Error("Remembered does not find the same bytes")
	}
	if v.Remembered(raw[:1], now) != nil {
		t.Error("Remembered finds a shorter list")
	}
	if _, err := v.Verify(list, now.Add(2*time.Hour)); err == nil || v.Remembered(raw, now.Add(2*time.Hour)) != nil {
		t.Error("a remembered chain is accepted after it has expired")
	}
	if _, err := certchain.New(certchaintest.Issue(t, "root", nil, certchaintest.IsCA).Cert).Verify(list, now); err == nil {
		t.Error("a Verifier of another CA accepts the list")
	}

	padded := certs(leaf, issuer, certchaintest.Issue(t, "unused", nil, certchaintest.IsCA))
	for range 2 {
		*signatures = 0
		if _, err := v.Verify(padded, now); err != nil || *signatures == 0 {
			t.Errorf("with a certificate that no CA has signed: error %v, %d signatures; want it verified each time", err, *signatures)
		}
	}
}

func TestVerifier_FailsClosed(t *testing.T) {
	root := certchaintest.Issue(t, "root", nil, certchaintest.IsCA)
	leaf := certchaintest.Issue(t, "wiki", root, nil)
	for name, v := range map[string]*certchain.Verifier{"nil": nil, "without CAs": certchain.New()} {
		for _, list := range [][]*x509.Certificate{nil, certs(leaf), certs(leaf, root)} {
			if chains, err := v.Verify(list, now); err == nil || chains != nil {
				t.Errorf("%s: a list of %d certificates is accepted", name, len(list))
			}
		}
		if v.Remembered(nil, now) != nil {
			t.Errorf("%s: remembers the empty list", name)
		}
	}
	if _, err := certchain.New(root.Cert).Verify(nil, now); err == nil {
		t.Error("no certificate is accepted")
	}
}
