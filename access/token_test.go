package access_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/accesstest"
)

func TestNewToken_Format(t *testing.T) {
	random := make([]byte, 40)
	for i := range random {
		random[i] = byte(i)
	}
	token, err := access.NewToken(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if want := access.Token("userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"); token != want {
		t.Errorf("token %s; want %s", string(token), string(want))
	}
	if got, err := access.ParseBearer([]string{"Bearer " + string(token)}); err != nil || got != token {
		t.Errorf("the token cannot be sent: %v", err)
	}
}

func TestNewToken_NeedsEnoughRandomness(t *testing.T) {
	token, err := access.NewToken(bytes.NewReader(make([]byte, 31)))
	if !errors.Is(err, io.ErrUnexpectedEOF) || token != "" {
		t.Errorf("a token was returned, or the wrong error: %v", err)
	}
}

// The test vector is from FIPS 180-2, appendix B.1.
func TestToken_HashText(t *testing.T) {
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := access.Token("abc").HashText(); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if h := access.Token("abc").Hash(); hex.EncodeToString(h[:]) != want || h != sha256.Sum256([]byte("abc")) {
		t.Errorf("Hash differs from HashText")
	}
}

func TestPolicy_AuthenticateParsesAuthorizationHeader(t *testing.T) {
	p := newPolicy(t, clients()...)
	right := string(opsToken)
	for _, test := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"form of RFC 6750", []string{"Bearer " + right}, "ops"},
		{"scheme in another case", []string{"bEARER " + right}, "ops"},
		{"more spaces", []string{"Bearer   " + right}, "ops"},
		{"another token", []string{"Bearer " + right + "x"}, "unauthenticated"},
		{"padding is part of the token", []string{"Bearer " + right + "="}, "unauthenticated"},
		{"every allowed character", []string{"Bearer aZ09-._~+/=="}, "unauthenticated"},
		{"longest token", []string{"Bearer " + strings.Repeat("a", 1024)}, "unauthenticated"},
		{"longer token", []string{"Bearer " + strings.Repeat("a", 1025)}, "malformed"},
		{"empty header", []string{""}, "malformed"},
		{"scheme alone", []string{"Bearer"}, "malformed"},
		{"scheme and a space", []string{"Bearer "}, "malformed"},
		{"padding alone", []string{"Bearer =="}, "malformed"},
		{"padding inside", []string{"Bearer a=b"}, "malformed"},
		{"token alone", []string{right}, "malformed"},
		{"two correct headers", []string{"Bearer " + right, "Bearer " + right}, "malformed"},
		{"two tokens in one header", []string{"Bearer " + right + ", Bearer " + right}, "malformed"},
		{"space after the token", []string{"Bearer " + right + " "}, "malformed"},
		{"a tab", []string{"Bearer\t" + right}, "malformed"},
		{"non-ASCII byte", []string{"Bearer " + right + "\xff"}, "malformed"},
		{"NUL", []string{"Bearer " + right + "\x00"}, "malformed"},
		{"another scheme", []string{"Basic " + right}, "malformed"},
		{"unknown scheme", []string{"Bearers " + right}, "malformed"},
	} {
		e := access.Credentials{Authorization: test.headers}
		if got := outcome(p.Authenticate(e)); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

func FuzzParseBearer(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer x", "bearer  x==", "Bearer ", "Bearer =", "Basic eA==", "Bearer a b", "Bearer \xff", "Bearer " + strings.Repeat("x", 1025),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := access.ParseBearer([]string{header})
		if err != nil {
			if !errors.Is(err, access.ErrMalformed) || token != "" {
				t.Fatalf("%q: error %v, token returned: %v", header, err, token != "")
			}
			return
		}
		if token == "" || len(token) > access.MaxTokenBytes {
			t.Fatalf("%q returned a token of %d bytes", header, len(token))
		}
		if scheme := header[:len("Bearer ")]; !strings.EqualFold(scheme, "Bearer ") {
			t.Fatalf("%q was accepted as a bearer token", header)
		}
		if strings.TrimLeft(header[len("Bearer "):], " ") != string(token) {
			t.Fatalf("%q returned another token", header)
		}
		if strings.Trim(strings.TrimRight(string(token), "="), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") != "" {
			t.Fatalf("%q has a character outside RFC 6750's alphabet", header)
		}
	})
}

func TestToken_IsGenerated(t *testing.T) {
	for range 100 {
		if token, err := access.NewToken(rand.Reader); err != nil || !access.IsGenerated(token) {
			t.Fatalf("%s: %v", string(token), err)
		}
	}
	const good access.Token = "userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	if !access.IsGenerated(good) {
		t.Fatal("the token is refused")
	}
	for _, token := range []access.Token{
		"", "userinfo_", "secret", good + "=", good + "A", good[:len(good)-1], good[9:], "Userinfo_" + good[9:], "userinfo-" + good[9:], " " + good, good + " ", good + "\n",
		good[:len(good)-1] + "9", // the same bytes, spelled differently
		"userinfo_" + access.Token(strings.Repeat("A", 43)), "userinfo_passwordpasswordpasswordpasswordpasswordpas",
		"userinfo_" + access.Token(strings.Repeat("+", 43)),
	} {
		if access.IsGenerated(token) {
			t.Errorf("%q is taken for generated", string(token))
		}
	}
}

func FuzzToken_IsGenerated(f *testing.F) {
	for _, seed := range []string{"", "userinfo_", "userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", "userinfo_" + strings.Repeat("A", 43)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !access.IsGenerated(access.Token(text)) {
			return
		}
		random, err := base64.RawURLEncoding.DecodeString(text[len(access.TokenPrefix):])
		if err != nil {
			t.Fatal(err)
		}
		if same, err := access.NewToken(bytes.NewReader(random)); err != nil || string(same) != text {
			t.Errorf("NewToken does not make %q", text)
		}
	})
}

func TestPolicy_AuthenticateRefusesWeakToken(t *testing.T) {
	const strong, weak access.Token = "userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "userinfo_winter-2026"
	for _, test := range []struct {
		token     access.Token
		generated bool
		want      bool
	}{{strong, true, true}, {strong, false, true}, {weak, true, false}, {weak, false, true}} { // configurations without generated go on working
		p := newPolicy(t, access.Client{Name: "c", Tokens: []access.TokenRule{{SHA256: test.token.HashText(), Generated: test.generated}},
			Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}})
		id, err := p.Authenticate(access.Credentials{Authorization: bearer(test.token)})
		if (err == nil) != test.want || (id.Client() == "c") != test.want || err != nil && !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("%s, generated %v: client %q, %v", string(test.token), test.generated, id.Client(), err)
		}
	}
}

func TestNewPolicy_RejectsGuessableToken(t *testing.T) {
	for _, token := range []access.Token{"", "password", "userinfo_password", "tools", "userinfo_tools", "userinfo_", "changeme"} {
		_, err := accesstest.Policy([]access.Client{{Name: "tools", Tokens: []access.TokenRule{{SHA256: token.HashText()}},
			Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}}, []string{"sessions"}, now)
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got["clients[0].tokens[0].sha256"], "easy to guess") {
			t.Errorf("%q: %v", string(token), err)
		}
	}
}
