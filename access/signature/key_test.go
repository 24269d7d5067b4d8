package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestKey_PrintsWithoutSecret(t *testing.T) {
	seed := edKey.private.Seed()
	keys := []any{
		markedSecret, hmacKey, hmacKey.Key, edKey, edKey.Key, &hmacKey, &edKey.Key, []SigningKey{hmacKey, edKey}, Signer{Key: hmacKey}, &Signer{Key: edKey},
		&Transport{Signer: Signer{Key: hmacKey}}, map[string]any{"k": hmacKey}, struct{ S Secret }{markedSecret},
	}
	var said []string
	for _, k := range keys {
		for _, verb := range "vsxXqdcbo" {
			for _, flags := range []string{"", "+", "#"} {
				said = append(said, fmt.Sprintf("%"+flags+string(verb), k))
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "k", k)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", k)
		said = append(said, log.String())
	}
	inJSON, err := json.Marshal([]any{markedSecret, hmacKey, edKey, hmacKey.Key, map[string]any{"k": edKey}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(said, string(inJSON)) {
		for _, hidden := range [][]byte{[]byte(markedText)[:13], seed[:11]} {
			for _, form := range []string{string(hidden), fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), strings.Trim(fmt.Sprint(hidden), "[]"), encode(hidden)[:10]} {
				if strings.Contains(s, form) {
					t.Errorf("a key is printed: %s", s)
				}
			}
		}
	}
	if s := fmt.Sprint(hmacKey); s != "wiki-1 (hmac-sha256)" {
		t.Errorf("a key prints as %s", s)
	}
}

func TestParseKey_AcceptsExactlyOneKey(t *testing.T) {
	good := markedSecret.Text()
	for name, text := range map[string]string{
		"a secret": good, "with a newline": good + "\n", "with a carriage return and newline": good + "\r\n", "of 128 bytes": secretText(strings.Repeat("k", 128)),
	} {
		verifying, err := ParseKey("k", []byte(text))
		signing, err2 := ParseSigningKey("k", []byte(text))
		if err != nil || err2 != nil || verifying.Algorithm() != HMACSHA256 || signing.Algorithm() != HMACSHA256 || signing.secret != verifying.secret {
			t.Errorf("%s: %v %v", name, err, err2)
		}
	}
	private, err := ParseSigningKey("k", []byte(rfcEd25519Private))
	if err != nil || private.Algorithm() != Ed25519 {
		t.Fatal(err)
	}
	if public, err := ParseKey("k", []byte(rfcEd25519)); err != nil || !public.public.Equal(private.public) {
		t.Errorf("the public key: %v", err)
	}
	encoded := strings.TrimPrefix(good, secretPrefix)
	zeroPublic := strings.Replace(rfcEd25519, "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=", strings.Repeat("A", 43)+"=", 1)
	for name, text := range map[string]string{
		"empty": "", "the prefix alone": secretPrefix, "no prefix": encoded, "another format": strings.Replace(good, "-1:", "-2:", 1),
		"a seal key": strings.Replace(good, "signature", "seal", 1), "two": good + "\n" + good, "two newlines": good + "\n\n", "a newline inside": good[:40] + "\n" + good[40:],
		"a space before": " " + good, "a space after": good + " ", "31 bytes": secretText(strings.Repeat("k", 31)), "129 bytes": secretText(strings.Repeat("k", 129)),
		"zeros": secretText(string(make([]byte, 32))), "without padding": strings.TrimRight(good, "="), "an RSA key": rfcRSAPSS, "PEM cut off": rfcEd25519[:60],
		"two in PEM": rfcEd25519 + rfcEd25519, "PEM and more": rfcEd25519 + "x", "a certificate": strings.ReplaceAll(rfcEd25519, "PUBLIC KEY", "CERTIFICATE"),
		"PEM with invalid DER": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a public key of zeros": zeroPublic,
		"private key PEM with invalid DER": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		k, err := ParseKey("k", []byte(text))
		s, err2 := ParseSigningKey("k", []byte(text))
		if err == nil && k.Algorithm() != "" || s.Algorithm() != "" || err2 == nil {
			t.Errorf("%s was accepted: %v %v", name, err, err2)
		}
		if err == nil || strings.Contains(err.Error()+err2.Error(), encoded[:8]) {
			t.Errorf("%s: %v %v", name, err, err2)
		}
	}
	// A private key does not verify, and a public key does not sign.
	if _, err := ParseKey("k", []byte(rfcEd25519Private)); err == nil {
		t.Error("ParseKey accepts a private key")
	}
	if _, err := ParseSigningKey("k", []byte(rfcEd25519)); err == nil {
		t.Error("ParseSigningKey accepts a public key")
	}
}

func TestKey_FailsClosed(t *testing.T) {
	long := strings.Repeat("k", MaxIDBytes)
	if _, err := HMACKey(long, markedSecret); err != nil {
		t.Error(err)
	}
	for name, make := range map[string]func() (Key, error){
		"no id":                       func() (Key, error) { return HMACKey("", markedSecret) },
		"a long id":                   func() (Key, error) { return HMACKey(long+"k", markedSecret) },
		"an id beyond ASCII":          func() (Key, error) { return HMACKey("ä", markedSecret) },
		"an id with a newline":        func() (Key, error) { return HMACKey("a\n", markedSecret) },
		"no secret":                   func() (Key, error) { return HMACKey("k", Secret{}) },
		"no public key":               func() (Key, error) { return Ed25519Key("k", nil) },
		"a short public key":          func() (Key, error) { return Ed25519Key("k", make31()) },
		"a public key without an id":  func() (Key, error) { return Ed25519Key("", edKey.public) },
		"no private key":              func() (Key, error) { k, err := Ed25519SigningKey("k", nil); return k.Key, err },
		"a private key without an id": func() (Key, error) { k, err := Ed25519SigningKey("", edKey.private); return k.Key, err },
	} {
		if k, err := make(); err == nil || k.Algorithm() != "" || k.ID() != "" {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
	if (Key{}).verify("", nil) || (Key{id: "k"}).verify("", []byte{}) {
		t.Error("the zero Key verifies a signature")
	}
	if _, err := (SigningKey{}).sign(""); err == nil {
		t.Error("the zero SigningKey signs")
	}
	if _, err := NewSecret(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a secret from 5 random bytes: %v", err)
	}
	if s, err := NewSecret(strings.NewReader(markedText)); err != nil || s != markedSecret {
		t.Errorf("NewSecret: %v", err)
	}
}

func make31() ed25519.PublicKey { return make(ed25519.PublicKey, 31) }

// FuzzParseKey checks that each secret has exactly one text, and that a parsed signing key makes signatures that verify.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", markedSecret.Text(), markedSecret.Text() + "\r\n", secretPrefix, secretPrefix + "====", rfcEd25519, rfcEd25519Private, rfcRSAPSS, "-----BEGIN "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey("k", text)
		if (err == nil) != (k.Algorithm() != "") {
			t.Fatalf("%v %v", k, err)
		}
		if k.secret != (Secret{}) && k.secret.Text() != strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r") {
			t.Fatal("Text returns another text")
		}
		s, err := ParseSigningKey("k", text)
		if (err == nil) != (s.Algorithm() != "") {
			t.Fatalf("%v %v", s, err)
		}
		if err != nil {
			return
		}
		sum, err := s.sign("base")
		if err != nil || !s.verify("base", sum) {
			t.Fatalf("the signature does not verify: %v %s", err, base64.StdEncoding.EncodeToString(sum))
		}
	})
}
