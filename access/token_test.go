package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestATokenIsThePrefixAndAllOfItsRandomness(t *testing.T) {
	random := make([]byte, 40)
	for i := range random {
		random[i] = byte(i)
	}
	token, err := NewToken(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if want := Token("userinfo_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"); token != want {
		t.Errorf("token %s; want %s", string(token), string(want))
	}
	if got, err := parseBearer([]string{"Bearer " + string(token)}); err != nil || got != token {
		t.Errorf("a client could not send it: %v", err)
	}
}

func TestNoTokenIsMadeOfTooLittleRandomness(t *testing.T) {
	token, err := NewToken(bytes.NewReader(make([]byte, tokenBytes-1)))
	if !errors.Is(err, io.ErrUnexpectedEOF) || token != "" {
		t.Errorf("a token came out, or the wrong error: %v", err)
	}
}

// The vector is FIPS 180-2's, appendix B.1.
func TestTheHashTextIsTheSHA256InHexadecimal(t *testing.T) {
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := Token("abc").HashText(); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if h := Token("abc").Hash(); hex.EncodeToString(h[:]) != want || h != sha256.Sum256([]byte("abc")) {
		t.Errorf("Hash differs from HashText")
	}
}

func FuzzParseBearer(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer x", "bearer  x==", "Bearer ", "Bearer =", "Basic eA==", "Bearer a b", "Bearer \xff", "Bearer " + strings.Repeat("x", 1025),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := parseBearer([]string{header})
		if err != nil {
			if !errors.Is(err, ErrMalformed) || token != "" {
				t.Fatalf("%q: %v, and a token: %v", header, err, token != "")
			}
			return
		}
		if token == "" || len(token) > maxTokenBytes {
			t.Fatalf("%q gave a token of %d bytes", header, len(token))
		}
		if scheme := header[:len("Bearer ")]; !strings.EqualFold(scheme, "Bearer ") {
			t.Fatalf("%q was taken for a bearer token", header)
		}
		if strings.TrimLeft(header[len("Bearer "):], " ") != string(token) {
			t.Fatalf("%q gave another token", header)
		}
		if strings.Trim(strings.TrimRight(string(token), "="), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") != "" {
			t.Fatalf("%q has a character outside RFC 6750's alphabet", header)
		}
	})
}
