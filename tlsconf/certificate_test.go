package tlsconf_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func TestCABundle_NeedsOneValidCA(t *testing.T) {
	bundle := newDir(t).write("ca.pem", newCA(t, "ca").PEM(), newCA(t, "next").PEM())
	clock := newClock()
	if _, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: bundle}, clock.now); err != nil {
		t.Fatal(err)
	}
	clock.advance(2 * 365 * 24 * time.Hour)
	_, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: bundle}, clock.now)
	wantFieldError(t, err, "ca", bundle, "no CA in it is valid now", "CN=ca expired on", "CN=next expired on")
}

func TestKeyPair_ErrorsNeverShowPrivateKey(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	certPEM, _ := issue(t, ca, devca.Loopback())
	_, keyPEM := issue(t, ca, devca.Loopback())
	cert := d.write("crt", certPEM)
	for name, contents := range map[string][]byte{
		"of another certificate": keyPEM,
		"cut off":                keyPEM[:len(keyPEM)-40],
		"without PEM lines":      bytes.Join(bytes.Split(keyPEM, []byte("\n"))[1:3], nil),
		"of another type":        bytes.ReplaceAll(keyPEM, []byte("PRIVATE KEY"), []byte("RSA PRIVATE KEY")),
	} {
		key := d.write("key", contents)
		for _, files := range []tlsconf.ServerFiles{{Certificate: cert, Key: key}, {Certificate: key, Key: key}, {Certificate: cert, Key: key, ClientCA: key}} {
			_, err := tlsconf.LoadServer(files, time.Now)
			if err == nil {
				t.Errorf("a key %s was accepted", name)
				continue
			}
			for line := range strings.SplitSeq(string(contents), "\n") {
				for i := 0; !strings.HasPrefix(line, "-----") && i+12 <= len(line); i++ {
					if strings.Contains(err.Error(), line[i:i+12]) {
						t.Fatalf("a key %s: the error shows part of the key", name)
					}
				}
			}
		}
	}
}

// FuzzParseCertificates checks that an accepted file is read completely: every PEM block is a certificate, and encoding the
// certificates again gives a file that parses to the same certificates.
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
		certs, err := tlsconf.ParseCertificates(data)
		if err != nil {
			if certs != nil {
				t.Fatal("parseCertificates returned certificates and an error")
			}
			return
		}
		if len(certs) != bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")) {
			t.Fatalf("%d certificates from %q", len(certs), data)
		}
		var again []byte
		for _, cert := range certs {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		}
		reread, err := tlsconf.ParseCertificates(again)
		if err != nil || len(reread) != len(certs) {
			t.Fatalf("encoded again: %d certificates, %v; want %d", len(reread), err, len(certs))
		}
		for i := range certs {
			if !certs[i].Equal(reread[i]) {
				t.Fatalf("certificate %d changed when it was encoded again", i+1)
			}
		}
		if !x509.NewCertPool().AppendCertsFromPEM(again) {
			t.Fatal("crypto/x509 rejects an accepted certificate")
		}
	})
}
