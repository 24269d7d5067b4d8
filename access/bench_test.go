package access_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"testing"
	"time"

	"userinfo/access"
)

// BenchmarkDecide is everything between a request's evidence and a Caller, by each credential, among few clients and among
// many.
func BenchmarkDecide(b *testing.B) {
	certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "wiki"}, NotBefore: today.Add(-time.Hour), NotAfter: today.Add(time.Hour)}
	for _, many := range []int{0, 100} {
		all := clients()
		all[0].SignatureKeys = []access.SignatureKey{{ID: "wiki-1", File: "wiki-1.key"}}
		for n := range many {
			name := fmt.Sprintf("tool-%d", n)
			all = append(all, access.Client{Name: name, Certificates: []access.CertificateName{{CN: name}},
				Tokens: []access.TokenRule{{SHA256: access.Token(name).HashText()}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"{cn}:*"}})
		}
		p := newPolicy(b, all...)
		for _, by := range []struct {
			name     string
			evidence access.Credentials
			key      access.Key
		}{
			{"token", access.Credentials{Authorization: []string{"Bearer " + string(wikiToken)}, Remote: inside}, "enwiki:MWSession:abc"},
			{"certificate", access.Credentials{Certificate: certificate, ClientCAs: theCA}, "wiki:MWSession:abc"},
			{"signature", access.Credentials{SignatureKey: "wiki-1"}, "enwiki:MWSession:abc"},
		} {
			b.Run(fmt.Sprintf("%s/%d-clients", by.name, len(all)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					id, err := p.Authenticate(by.evidence)
					if err == nil {
						err = access.Admit(id, "sessions")
					}
					if err == nil {
						_, err = access.Authorize(id, "sessions:get", by.key)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
