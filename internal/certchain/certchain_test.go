package certchain_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"userinfo/internal/certchain"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// entity is a certificate and its private key.
type entity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue returns a certificate that is signed by parent, or by itself if parent is nil. change may change its template.
func issue(t testing.TB, name string, parent *entity, change func(*x509.Certificate)) *entity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueKey(t, name, key, parent, change)
}

func issueKey(t testing.TB, name string, key *ecdsa.PrivateKey, parent *entity, change func(*x509.Certificate)) *entity {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	signer := &entity{template, key}
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
	return &entity{cert, key}
}

func isCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
}

// imitate returns an issuer with the name of ca and another key. Its certificates name no key.
func imitate(t testing.TB, ca *entity) *entity {
	t.Helper()
	return &entity{&x509.Certificate{RawSubject: ca.cert.RawSubject}, issue(t, "any", nil, nil).key}
}

// chain returns n CAs, each signed by the one before, the first by root.
func chain(t testing.TB, root *entity, n int) (cas []*entity) {
	t.Helper()
	for i := range n {
		root = issue(t, fmt.Sprint("issuer ", i), root, isCA)
		cas = append(cas, root)
	}
	return cas
}

func certs(of ...*entity) (all []*x509.Certificate) {
	for _, e := range of {
		all = append(all, e.cert)
	}
	return all
}

// counted returns a Verifier of a CA, and the number of signatures that it has verified itself.
func counted(cas ...*entity) (*certchain.Verifier, *int) {
	v, n := certchain.New(certs(cas...)...), new(int)
	v.CountSignatures(func() { *n++ })
	return v, n
}

func TestVerifier_RefusesLongListUnread(t *testing.T) {
	root := issue(t, "root", nil, isCA)
	issuers := chain(t, root, certchain.MaxIssuers+1)
	leaf := issue(t, "wiki", issuers[len(issuers)-1], nil)
	v, signatures := counted(root)
	if _, err := v.Verify(certs(append([]*entity{leaf}, issuers...)...), now); !errors.Is(err, certchain.ErrTooLong) || *signatures != 0 {
		t.Errorf("%d issuers: error %v after %d signatures; want ErrTooLong after none", len(issuers), err, *signatures)
	}
	leaf = issue(t, "wiki", issuers[certchain.MaxIssuers-1], nil)
	chains, err := v.Verify(certs(append([]*entity{leaf}, issuers[:certchain.MaxIssuers]...)...), now)
	if err != nil || len(chains[0]) != certchain.MaxIssuers+2 || *signatures != certchain.MaxIssuers+1 {
		t.Errorf("%d issuers: %v after %d signatures; want a chain after %d", certchain.MaxIssuers, err, *signatures, certchain.MaxIssuers+1)
	}
}

// TestVerifier_StrangersCauseFewSignatures counts the signatures that a list without any chain to a CA causes.
func TestVerifier_StrangersCauseFewSignatures(t *testing.T) {
	root := issue(t, "root", nil, isCA)
	namesake := issue(t, "root", nil, isCA) // same name, other key
	imitation := imitate(t, root)
	real := chain(t, root, 1)[0]
	foreign := chain(t, issue(t, "foreign", nil, isCA), certchain.MaxIssuers)

	// Four certificates of one key that sign each other in every order: crypto/x509 would verify 64 signatures.
	loop := issue(t, "loop", nil, isCA)
	var mesh []*entity
	for i := range certchain.MaxIssuers {
		mesh = append(mesh, issueKey(t, "loop", loop.key, loop, func(c *x509.Certificate) {
			isCA(c)
			c.DNSNames = []string{fmt.Sprint(i, ".example")}
		}))
	}
	var claims []*entity // all claim to be issued by the root, and do not name its key
	for i := range certchain.MaxIssuers {
		claims = append(claims, issue(t, fmt.Sprint("claim ", i), imitation, isCA))
	}
	for _, test := range []struct {
		name  string
		certs []*entity
		want  int // signatures
	}{
		{"a chain of its own", append([]*entity{issue(t, "wiki", foreign[3], nil)}, foreign...), 0},
		{"a chain of its own below the CA's name", []*entity{issue(t, "wiki", namesake, nil), namesake}, 1},
		{"a mesh", append([]*entity{issue(t, "wiki", mesh[0], nil)}, mesh...), 0},
		{"issuers that claim to be the CA's", append([]*entity{issue(t, "wiki", imitation, nil)}, claims...), 2},
		{"a real issuer", []*entity{issue(t, "wiki", imitation, nil), real}, 2},
		{"the root", []*entity{issue(t, "wiki", imitation, nil), root}, 1},
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
	root, other := issue(t, "root", nil, isCA), issue(t, "other", nil, isCA)
	issuers := chain(t, root, 3)
	leaf := issue(t, "wiki", issuers[2], nil)
	crossed := issueKey(t, "issuer 2", issuers[2].key, other, isCA) // the same CA, signed by the other root too
	unused := issue(t, "unused", nil, isCA)
	old := issue(t, "issuer 2", issue(t, "root", nil, isCA), isCA) // of a root that is not trusted any more
	ended := issue(t, "wiki", root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	server := issue(t, "wiki", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	short := issue(t, "short", root, func(c *x509.Certificate) { isCA(c); c.MaxPathLenZero = true })
	tooDeep := issue(t, "too deep", short, isCA)
	notCA := issue(t, "not a CA", root, nil)
	for _, test := range []struct {
		name string
		list []*entity
	}{
		{"signed by a root", []*entity{issue(t, "wiki", root, nil)}},
		{"in order", []*entity{leaf, issuers[2], issuers[1], issuers[0]}},
		{"root first", []*entity{leaf, issuers[0], issuers[1], issuers[2]}},
		{"with the root", []*entity{leaf, issuers[2], issuers[1], issuers[0], root}},
		{"twice", []*entity{issue(t, "wiki", issuers[0], nil), issuers[0], issuers[0]}},
		{"two chains", []*entity{leaf, issuers[2], crossed, issuers[1], issuers[0]}},
		{"with an unused certificate", []*entity{issue(t, "wiki", root, nil), unused}},
		{"with an issuer of a former root", []*entity{leaf, old, issuers[2], issuers[1], issuers[0]}},
		{"without an issuer", []*entity{leaf, issuers[2], issuers[0]}},
		{"expired", []*entity{ended}},
		{"for servers", []*entity{server}},
		{"too deep", []*entity{issue(t, "wiki", tooDeep, nil), tooDeep, short}},
		{"signed by a client", []*entity{issue(t, "wiki", notCA, nil), notCA}},
		{"the root itself", []*entity{root}},
	} {
		v := certchain.New(root.cert, other.cert)
		got, err := v.Verify(certs(test.list...), now)
		options := x509.VerifyOptions{Roots: v.Pool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		for _, c := range certs(test.list[1:]...) {
			options.Intermediates.AddCert(c)
		}
		want, wantErr := test.list[0].cert.Verify(options)
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
	root := issue(t, "root", nil, isCA)
	issuer := chain(t, root, 1)[0]
	leaf := issue(t, "wiki", issuer, nil)
	list := certs(leaf, issuer)
	raw := [][]byte{leaf.cert.Raw, issuer.cert.Raw}
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
	if _, err := certchain.New(issue(t, "root", nil, isCA).cert).Verify(list, now); err == nil {
		t.Error("a Verifier of another CA accepts the list")
	}

	padded := certs(leaf, issuer, issue(t, "unused", nil, isCA))
	for range 2 {
		*signatures = 0
		if _, err := v.Verify(padded, now); err != nil || *signatures == 0 {
			t.Errorf("with a certificate that no CA has signed: error %v, %d signatures; want it verified each time", err, *signatures)
		}
	}
}

func TestVerifier_FailsClosed(t *testing.T) {
	root := issue(t, "root", nil, isCA)
	leaf := issue(t, "wiki", root, nil)
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
	if _, err := certchain.New(root.cert).Verify(nil, now); err == nil {
		t.Error("no certificate is accepted")
	}
}
