package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// noon is the time of the tests.
var noon = time.Unix(1_700_000_000, 0)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// markedText is easy to find in printed text. markedSecret has it as its key.
const markedText = "MARKED-SECRET-MARKED-SECRET-MARK"

var markedSecret = must(ParseSecret([]byte(secretText(markedText))))

// secretText returns the content of the file of a key, valid or not.
func secretText(key string) string {
	return secretPrefix + base64.StdEncoding.EncodeToString([]byte(key))
}

const secretPrefix = "userinfo-signature-key-1:"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A key of each algorithm.
var (
	hmacKey = must(HMACSigningKey("wiki-1", markedSecret))
	edKey   = must(Ed25519SigningKey("wiki-2", ed25519.NewKeyFromSeed([]byte("MARKED-SEED-MARKED-SEED-MARKED-S"))))
)

func find(id string) (Key, bool) {
	switch id {
	case hmacKey.ID():
		return hmacKey.Key, true
	case edKey.ID():
		return edKey.Key, true
	}
	return Key{}, false
}

// target has a path with escapes.
const target = "https://userinfo.example:8443/sessions/v1/enwiki%3Asession%3A1%2Fx"

// received returns what the service sees of r.
func received(r *http.Request, body []byte) Request {
	path, query, hasQuery := strings.Cut(r.URL.RequestURI(), "?")
	return Request{Method: r.Method, Authority: r.URL.Host, Path: path, Query: query, HasQuery: hasQuery, Header: r.Header, HasBody: len(body) > 0}
}

// signed returns a PUT request with a TTL, signed at noon.
func signed(t testing.TB, key SigningKey, body []byte) Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("TTL", "3600")
	if err := (Signer{Key: key, Now: at(noon)}).Sign(r, body); err != nil {
		t.Fatal(err)
	}
	return received(r, body)
}

// bySpec returns r signed with the HMAC key, with these components and parameters, even if they are outside the profile.
func bySpec(t testing.TB, r Request, components []string, params string) Request {
	t.Helper()
	list := "()"
	if len(components) > 0 {
		list = `("` + strings.Join(components, `" "`) + `")`
	}
	text, err := base(r, components, list+params)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = r.Header.Clone()
	r.Header.Set("Signature-Input", "s="+list+params)
	r.Header.Set("Signature", "s=:"+encode(must(hmacKey.sign(text)))+":")
	return r
}
