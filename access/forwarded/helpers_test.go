package forwarded_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"testing"

	"userinfo/access/forwarded"
	"userinfo/internal/certchain"
	"userinfo/internal/certchain/certchaintest"
)

func pool(cas ...*certchaintest.Entity) *certchain.Verifier {
	var certs []*x509.Certificate
	for _, ca := range cas {
		certs = append(certs, ca.Cert)
	}
	return certchain.New(certs...)
}

// fieldOf returns the certificate as a header value of RFC 9440.
func fieldOf(i *certchaintest.Entity) string {
	return ":" + base64.StdEncoding.EncodeToString(i.Cert.Raw) + ":"
}

func fields(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h[http.CanonicalHeaderKey(pairs[i])] = append(h[http.CanonicalHeaderKey(pairs[i])], pairs[i+1])
	}
	return h
}

func rules(t testing.TB, clients *certchain.Verifier, dnField string) *forwarded.Rules {
	t.Helper()
	r, err := forwarded.NewRules(clients, dnField)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var now = certchaintest.Now
