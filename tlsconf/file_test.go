package tlsconf_test

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func TestWrongServerFilesAreNamed(t *testing.T) {
	ca, other, d := newCA(t, "ca"), newCA(t, "other"), newDir(t)
	now := time.Now()
	leaf := func(change func(*devca.Leaf)) (cert, key string) {
		l := devca.Loopback()
		change(&l)
		certPEM, keyPEM := issue(t, ca, l)
		return d.write(t.Name()+l.CommonName+".crt", certPEM), d.write(t.Name()+l.CommonName+".key", keyPEM)
	}
	cert, key := leaf(func(l *devca.Leaf) { l.CommonName = "good" })
	_, foreignKey := leaf(func(l *devca.Leaf) { l.CommonName = "foreign" })
	expired, expiredKey := leaf(func(l *devca.Leaf) {
		l.CommonName, l.NotBefore, l.NotAfter = "expired", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	early, earlyKey := leaf(func(l *devca.Leaf) {
		l.CommonName, l.NotBefore, l.NotAfter = "early", time.Date(2120, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2121, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	forClient, forClientKey := leaf(func(l *devca.Leaf) { l.CommonName, l.Client = "client", true })
	bundle := d.write("bundle.pem", ca.PEM(), other.PEM())
	leafPEM, _ := issue(t, ca, wiki())
	withLeaf := d.write("with-leaf.pem", ca.PEM(), leafPEM)
	notCertificate := d.write("trusted.pem", pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: []byte{1}}))
	notASN1 := d.write("damaged.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}))
	text := d.write("text.pem", []byte("nothing here\n"))
	missing := d.path("missing.pem")
	today := now.UTC().Format("2006-01-02")
	for _, test := range []struct {
		name  string
		files tlsconf.ServerFiles
		field string
		words []string
	}{
		{"no certificate configured", tlsconf.ServerFiles{Key: key}, "certificate", []string{"missing; name a PEM file"}},
		{"no key configured", tlsconf.ServerFiles{Certificate: cert}, "key", []string{"missing; name the PEM file with the private key", cert}},
		{"unknown version", tlsconf.ServerFiles{Certificate: cert, Key: key, MinVersion: "1.1"}, "min_version", []string{`"1.1"`, `"1.2"`}},
		{"no such certificate", tlsconf.ServerFiles{Certificate: missing, Key: key}, "certificate", []string{missing, "no such file"}},
		{"no such key", tlsconf.ServerFiles{Certificate: cert, Key: missing}, "key", []string{missing, "no such file"}},
		{"no such CA", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: missing}, "client_ca", []string{missing, "no such file"}},
		{"another's key", tlsconf.ServerFiles{Certificate: cert, Key: foreignKey}, "key", []string{foreignKey, "does not belong to the certificate in " + cert}},
		{"key without PEM", tlsconf.ServerFiles{Certificate: cert, Key: text}, "key", []string{text, "is not an unencrypted PEM key"}},
		{"files swapped", tlsconf.ServerFiles{Certificate: key, Key: cert}, "certificate", []string{key, "block 1 is a private key"}},
		{"certificate without PEM", tlsconf.ServerFiles{Certificate: text, Key: key}, "certificate", []string{text, "contains no certificate"}},
		{"certificate damaged", tlsconf.ServerFiles{Certificate: notASN1, Key: key}, "certificate", []string{notASN1, "certificate 1 cannot be parsed"}},
		{"certificate expired", tlsconf.ServerFiles{Certificate: expired, Key: expiredKey}, "certificate", []string{expired, "expired on 2021-01-02T03:04:05Z", today}},
		{"certificate not valid yet", tlsconf.ServerFiles{Certificate: early, Key: earlyKey}, "certificate", []string{early, "not valid before 2120-01-02T03:04:05Z", today}},
		{"certificate for clients only", tlsconf.ServerFiles{Certificate: forClient, Key: forClientKey}, "certificate", []string{forClient, "server authentication"}},
		{"CA without any certificate", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: text}, "client_ca", []string{text, "contains no certificate"}},
		{"CA of another PEM type", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: notCertificate}, "client_ca", []string{notCertificate, "not a CERTIFICATE"}},
		{"CA bundle with a leaf", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: withLeaf}, "client_ca", []string{withLeaf, "certificate 2 (CN=wiki) is not a CA certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tlsconf.LoadServer(test.files, func() time.Time { return now })
			wantFieldError(t, err, test.field, test.words...)
		})
	}
	t.Run("nothing wrong", func(t *testing.T) {
		newServer(t, tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: bundle})
	})
}

func TestWrongClientFilesAreNamed(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	bundle := d.write("ca.pem", ca.PEM())
	certPEM, keyPEM := issue(t, ca, wiki())
	otherPEM, otherKeyPEM := issue(t, ca, wiki())
	cert, key, otherKey := d.write("crt", certPEM), d.write("key", keyPEM), d.write("other.key", otherKeyPEM)
	leaf := d.write("leaf.pem", otherPEM)
	for _, test := range []struct {
		name  string
		files tlsconf.ClientFiles
		field string
		words []string
	}{
		{"no CA configured", tlsconf.ClientFiles{}, "ca", []string{"always verified"}},
		{"certificate without key", tlsconf.ClientFiles{CA: bundle, Certificate: cert}, "key", []string{cert, "or leave out both"}},
		{"key without certificate", tlsconf.ClientFiles{CA: bundle, Key: key}, "certificate", []string{key, "or leave out both"}},
		{"another's key", tlsconf.ClientFiles{CA: bundle, Certificate: cert, Key: otherKey}, "key", []string{otherKey, "does not belong"}},
		{"a leaf for a CA", tlsconf.ClientFiles{CA: leaf}, "ca", []string{leaf, "not a CA certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tlsconf.LoadClient(test.files, time.Now)
			wantFieldError(t, err, test.field, test.words...)
		})
	}
}

func TestABundleNeedsOneCAThatIsValidNow(t *testing.T) {
	bundle := newDir(t).write("ca.pem", newCA(t, "ca").PEM(), newCA(t, "next").PEM())
	clock := newClock()
	if _, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: bundle}, clock.now); err != nil {
		t.Fatal(err)
	}
	clock.advance(2 * 365 * 24 * time.Hour)
	_, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: bundle}, clock.now)
	wantFieldError(t, err, "ca", bundle, "no CA in it is valid now", "CN=ca expired on", "CN=next expired on")
}

func TestNoErrorShowsThePrivateKey(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	certPEM, _ := issue(t, ca, devca.Loopback())
	_, keyPEM := issue(t, ca, devca.Loopback())
	cert := d.write("crt", certPEM)
	for name, contents := range map[string][]byte{
		"another's":       keyPEM,
		"cut off":         keyPEM[:len(keyPEM)-40],
		"without a frame": bytes.Join(bytes.Split(keyPEM, []byte("\n"))[1:3], nil),
		"of another type": bytes.ReplaceAll(keyPEM, []byte("PRIVATE KEY"), []byte("RSA PRIVATE KEY")),
	} {
		key := d.write("key", contents)
		for _, files := range []tlsconf.ServerFiles{{Certificate: cert, Key: key}, {Certificate: key, Key: key}, {Certificate: cert, Key: key, ClientCA: key}} {
			_, err := tlsconf.LoadServer(files, time.Now)
			if err == nil {
				t.Errorf("a key %s was taken", name)
				continue
			}
			for line := range strings.SplitSeq(string(contents), "\n") {
				for i := 0; !strings.HasPrefix(line, "-----") && i+12 <= len(line); i++ {
					if strings.Contains(err.Error(), line[i:i+12]) {
						t.Fatalf("a key %s: the error shows a part of it", name)
					}
				}
			}
		}
	}
}
