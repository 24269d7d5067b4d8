package keyfile_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"userinfo/internal/keyfile"
)

const kind keyfile.Kind = "test"

// testSecret returns a Secret whose bytes are 1, 2, 3 and so on.
func testSecret(t testing.TB) keyfile.Secret {
	t.Helper()
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(i + 1)
	}
	s, err := keyfile.NewSecret(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewSecret_FailsWithoutRandomness(t *testing.T) {
	if s, err := keyfile.NewSecret(strings.NewReader("short")); err == nil || s != (keyfile.Secret{}) {
		t.Errorf("error %v", err)
	}
}

func TestSecret_PrintsAsRedacted(t *testing.T) {
	s := testSecret(t)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", s)
	inJSON, err := json.Marshal(struct{ Key keyfile.Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %x %d %s %q", s, s, s, s, s, s, s), fmt.Sprintf("%v", struct{ keyfile.Secret }{s}), log.String(), string(inJSON),
	} {
		if strings.Contains(printed, "010203") || strings.Contains(printed, "1 2 3") || strings.Contains(printed, "\x01\x02") || !strings.Contains(printed, "[redacted]") {
			t.Errorf("printed as %q", printed)
		}
	}
}

func TestKind_ParseReadsText(t *testing.T) {
	s := testSecret(t)
	text := kind.Text(s)
	if !strings.HasPrefix(text, "userinfo-test-key-1:") {
		t.Errorf("text %q", text)
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		if got, err := kind.Parse([]byte(text + end)); err != nil || got != s {
			t.Errorf("with the line end %q: %v", end, err)
		}
	}
}

func TestKind_ParseRejectsEverythingElse(t *testing.T) {
	text := kind.Text(testSecret(t))
	encoded := strings.TrimPrefix(text, "userinfo-test-key-1:")
	for name, bad := range map[string]string{
		"nothing":              "",
		"a space before":       " " + text,
		"a space after":        text + " ",
		"two line ends":        text + "\n\n",
		"two keys":             text + "\n" + text,
		"a line end inside":    text[:30] + "\n" + text[30:],
		"no padding":           strings.TrimRight(text, "="),
		"another kind":         keyfile.Kind("other").Text(testSecret(t)),
		"another version":      strings.Replace(text, "-1:", "-2:", 1),
		"base64 alone":         encoded,
		"too short":            text[:len(text)-8] + "=",
		"zeros":                "userinfo-test-key-1:" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"the text of no key":   kind.Text(keyfile.Secret{}),
		"trailing bits":        text[:len(text)-2] + "F=",
		"a key that is longer": text[:len(text)-1] + "AAAA",
	} {
		s, err := kind.Parse([]byte(bad))
		if err == nil || s != (keyfile.Secret{}) {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), encoded[:8]) {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

// TestSecret_DerivesLikeStandardLibrary compares with packages crypto/hmac and crypto/hkdf, for messages shorter and longer than
// a block.
func TestSecret_DerivesLikeStandardLibrary(t *testing.T) {
	for _, size := range []int{32, 64, 65, 128} {
		key := bytes.Repeat([]byte{byte(size)}, size)
		s, err := kind.ParseSize([]byte("userinfo-test-key-1:"+base64.StdEncoding.EncodeToString(key)), 32, 128)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 55, 64, 300} {
			message := bytes.Repeat([]byte{'m'}, n)
			want := hmac.New(sha256.New, key)
			want.Write(message)
			for range 2 { // the first use must not change what later uses get
				got := s.MAC()
				got.Write(message)
				if !hmac.Equal(got.Sum(nil), want.Sum(nil)) {
					t.Errorf("key of %d bytes, message of %d: another HMAC", size, n)
				}
			}
			expanded, err := hkdf.Key(sha256.New, key, nil, string(message), 32)
			if got := s.Extract().Expand(message); err != nil || !bytes.Equal(got[:], expanded) {
				t.Errorf("key of %d bytes, info of %d: HKDF is %x, want %x (%v)", size, n, got, expanded, err)
			}
		}
		id := s.ID()
		if sum := sha256.Sum256(append([]byte("userinfo key id"), key...)); !bytes.Equal(id[:], sum[:4]) {
			t.Errorf("id %x", id)
		}
	}
}

// FuzzKind_Parse checks that only the Text of a key, with an optional line end, is a key.
func FuzzKind_Parse(f *testing.F) {
	text := kind.Text(testSecret(f))
	for _, seed := range []string{text, text + "\n", "", "userinfo-test-key-1:", "userinfo-other-key-1:" + text[20:], "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := kind.Parse(text)
		if err != nil {
			if s != (keyfile.Secret{}) {
				t.Error("an error with a key")
			}
			return
		}
		if got := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"); got != kind.Text(s) {
			t.Errorf("%q is accepted", text)
		}
	})
}
