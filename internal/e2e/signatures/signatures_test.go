//go:build integration

// Package signatures tests access/signature with other implementations of RFC 9421, over TLS: each side verifies what the
// other has signed.
package signatures

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/access/signature"
	"userinfo/internal/e2e/python"
)

// libraries are the names of the other implementations in peer.py. The second is built on the first and is what Python
// clients use.
var libraries = []string{"http-message-signatures", "requests-http-signature"}

// message is a request for peer.py.
type message struct {
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
	Change string            `json:"change"` // change to make after signing
}

// result is the result of one message.
type result struct {
	Status int    `json:"status"`
	Text   string `json:"text"`
}

// keyPair is a signing key and its verification key, and a file of each.
type keyPair struct {
	signing              signature.SigningKey
	verifying            signature.Key
	signFile, verifyFile string
}

const keyID = "wiki-1"

func keyPairs(t *testing.T) []keyPair {
	t.Helper()
	dir := t.TempDir()
	secret, err := signature.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	spki, err2 := x509.MarshalPKIXPublicKey(public)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	made := func(name string, sign, verify []byte) keyPair {
		p := keyPair{signFile: filepath.Join(dir, name+".key"), verifyFile: filepath.Join(dir, name+".pub")}
		var errs [4]error
		p.signing, errs[0] = signature.ParseSigningKey(keyID, sign)
		p.verifying, errs[1] = signature.ParseKey(keyID, verify)
		errs[2] = os.WriteFile(p.signFile, sign, 0o600)
		errs[3] = os.WriteFile(p.verifyFile, verify, 0o600)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := []byte(secret.Text() + "\n")
	return []keyPair{
		made("hmac", text, text),
		made("ed25519", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
	}
}

// runPeer runs peer.py with messages.
func runPeer(t *testing.T, bin, what, library string, algorithm signature.Algorithm, keyFile, caFile string, messages []message) []result {
	t.Helper()
	in, err := json.Marshal(messages)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "python"), "peer.py", what, library, string(algorithm), keyFile, keyID, caFile)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PYTHONUTF8=1", "PYTHONDONTWRITEBYTECODE=1"}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var results []result
	if err := errors.Join(err, json.Unmarshal(out, &results)); err != nil || len(results) != len(messages) {
		t.Fatalf("peer.py %s: %v, %d results\n%s", what, err, len(results), &stderr)
	}
	return results
}

// serve starts a server that verifies requests. It answers 200 with the key id, or 401 with the reason.
func serve(t *testing.T, key signature.Key) (url, caFile string) {
	t.Helper()
	v := signature.NewVerifier(signature.Config{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, query, hasQuery := strings.Cut(r.RequestURI, "?")
		got, err := v.Verify(signature.Request{
			Method: r.Method, Authority: r.Host, Path: path, Query: query, HasQuery: hasQuery, Header: r.Header, HasBody: r.ContentLength != 0,
		}, func(id string) (signature.Key, bool) { return key, id == key.ID() })
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(r.Body); err == nil {
				err = got.CheckBody(body)
			}
		}
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, err.Error())
			return
		}
		_, _ = io.WriteString(w, got.KeyID())
	}))
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caFile
}

// path contains escapes that must stay escaped.
const path = "/sessions/v1/enwiki%3Asession%3A1%2Fx"

var body = []byte("who=alice")

func TestVerifier_AcceptsOtherImplementations(t *testing.T) {
	bin := python.Install(t, "signatures", ".")
	ttl := map[string]string{"TTL": "3600"}
	for _, p := range keyPairs(t) {
		for _, library := range libraries {
			t.Run(library+"/"+string(p.verifying.Algorithm()), func(t *testing.T) {
				url, ca := serve(t, p.verifying)
				url += path
				sent := []struct {
					message
					reason string // of the rejection; empty: accepted
				}{
					{message{Method: "GET", URL: url}, ""},
					{message{Method: "GET", URL: url + "?a=%20&b"}, ""},
					{message{Method: "DELETE", URL: url}, ""},
					{message{Method: "PATCH", URL: url, Header: ttl}, ""},
					{message{Method: "PUT", URL: url, Header: ttl, Body: body}, ""},
					{message{Method: "POST", URL: url, Body: bytes.Repeat([]byte{0, 1, 0xff}, 1000)}, ""},
					{message{Method: "GET", URL: url, Change: "replay"}, signature.ErrReplayed.Error()},
					{message{Method: "GET", URL: url, Change: "path"}, signature.ErrInvalid.Error()},
					{message{Method: "PATCH", URL: url, Header: ttl, Change: "ttl"}, signature.ErrInvalid.Error()},
					{message{Method: "PUT", URL: url, Body: body, Change: "body"}, signature.ErrBody.Error()},
				}
				var messages []message
				for _, s := range sent {
					messages = append(messages, s.message)
				}
				for i, got := range runPeer(t, bin, "send", library, p.verifying.Algorithm(), p.signFile, ca, messages) {
					want := result{http.StatusOK, keyID}
					if sent[i].reason != "" {
						want = result{http.StatusUnauthorized, sent[i].reason}
					}
					if got != want {
						t.Errorf("%s %s %s: %d %s, want %d %s", sent[i].Method, sent[i].URL, sent[i].Change, got.Status, got.Text, want.Status, want.Text)
					}
				}
			})
		}
	}
}

func TestSigner_IsAcceptedByOtherImplementations(t *testing.T) {
	bin := python.Install(t, "signatures", ".")
	for _, p := range keyPairs(t) {
		for _, library := range libraries {
			t.Run(library+"/"+string(p.signing.Algorithm()), func(t *testing.T) {
				var messages []message
				for _, method := range []string{"GET", "DELETE", "PATCH", "PUT"} {
					messages = append(messages, signedMessage(t, p.signing, method))
				}
				good := len(messages)
				// Changed messages must be rejected. Otherwise the test would prove nothing.
				for _, change := range []func(*message){
					func(m *message) { m.Method = "POST" },
					func(m *message) { m.URL += "x" },
					func(m *message) { m.Header["Ttl"] = "86400" },
					func(m *message) { m.Body = []byte("who=mallo") },
				} {
					m := signedMessage(t, p.signing, "PUT")
					change(&m)
					messages = append(messages, m)
				}
				for i, got := range runPeer(t, bin, "verify", library, p.signing.Algorithm(), p.verifyFile, "", messages) {
					if i < good && got != (result{http.StatusOK, keyID}) {
						t.Errorf("%s: %d %s", messages[i].Method, got.Status, got.Text)
					} else if i >= good && got.Status != http.StatusUnauthorized {
						t.Errorf("change %d was accepted: %d %s", i-good, got.Status, got.Text)
					}
				}
			})
		}
	}
}

// signedMessage returns a request that Signer has signed. A PUT has a body. A PUT and a PATCH have a TTL.
func signedMessage(t *testing.T, key signature.SigningKey, method string) message {
	t.Helper()
	r, err := http.NewRequest(method, "https://userinfo.example:8443"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := message{Method: method, URL: r.URL.String(), Header: make(map[string]string)}
	if method == "PUT" {
		m.Body = body
	}
	if method == "PUT" || method == "PATCH" {
		r.Header.Set("TTL", "3600")
	}
	if err := (signature.Signer{Key: key}).Sign(r, m.Body); err != nil {
		t.Fatal(err)
	}
	for name := range r.Header {
		m.Header[name] = r.Header.Get(name)
	}
	return m
}
