package tlsconf

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"userinfo/internal/devca"
)

// What is taken is taken whole: every block of the file is a certificate, and written again it reads the same.
func FuzzParseCertificates(f *testing.F) {
	ca, err := devca.New("ca")
	if err != nil {
		f.Fatal(err)
	}
	certPEM, keyPEM, err := ca.Issue(devca.Loopback())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		nil, []byte("text"), certPEM, ca.PEM(), keyPEM, certPEM[:len(certPEM)-9],
		append(bytes.Clone(certPEM), ca.PEM()...), append([]byte("# comment\n"), certPEM...),
		append([]byte("\xef\xbb\xbf"), certPEM...), append(bytes.Clone(certPEM), certPEM[:80]...),
		bytes.ReplaceAll(certPEM, []byte("\n"), []byte("\r\n")),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseCertificates(data)
		if err != nil {
			if certs != nil {
				t.Fatal("certificates beside an error")
			}
			return
		}
		if len(certs) != bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")) {
			t.Fatalf("%d certificates of %q", len(certs), data)
		}
		var again []byte
		for _, cert := range certs {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		}
		reread, err := parseCertificates(again)
		if err != nil || len(reread) != len(certs) {
			t.Fatalf("written again: %d certificates, %v; want %d", len(reread), err, len(certs))
		}
		for i := range certs {
			if !certs[i].Equal(reread[i]) {
				t.Fatalf("certificate %d written again is another", i+1)
			}
		}
		if !x509.NewCertPool().AppendCertsFromPEM(again) {
			t.Fatal("crypto/x509 does not take what was taken here")
		}
	})
}
