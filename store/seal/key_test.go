package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"userinfo/internal/keyfile"
)

// sealPrefix is the beginning of a seal key file.
const sealPrefix = "userinfo-seal-key-1:"

// markedText is a key that can be recognized in any encoding.
const markedText = "MARKED-SECRET-MARKED-SECRET-MARK"

var markedSecret = secretOf([]byte(markedText))

// secretOf returns a key of 32 bytes.
func secretOf(key []byte) secret {
	s, err := keyfile.NewSecret(bytes.NewReader(key))
	if err != nil {
		panic(err)
	}
	return s
}

func TestKeys_PrintAsRedacted(t *testing.T) {
	seal, index := SealKey{markedSecret}, IndexKey{markedSecret}
	keys := mustKeys(t, index, seal)
	derived, err := hkdf.Extract(sha256.New, []byte(markedText), nil) // as secret as the key itself
	if err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("x", "seal", seal, "index", index, "keys", keys, "value", *keys, "list", []SealKey{seal})
	}
	inJSON, err := json.Marshal([]any{seal, index, keys, *keys, &seal, map[string]any{"k": index}})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(inJSON)}
	for _, verb := range "vsxXqdcbo" {
		for _, flags := range []string{"", "+", "#"} {
			format := "%" + flags + string(verb)
			for _, v := range []any{seal, index, keys, *keys, &seal, []SealKey{seal}, struct{ K IndexKey }{index}, struct{ K *Keys }{keys}} {
				printed = append(printed, fmt.Sprintf(format, v))
			}
		}
	}
	for _, text := range printed {
		for _, hidden := range [][]byte{[]byte(markedText[:13]), derived[:8]} {
			for _, form := range []string{string(hidden), fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), strings.Trim(fmt.Sprint(hidden), "[]"), base64.StdEncoding.EncodeToString(hidden)[:10]} {
				if strings.Contains(text, form) {
					t.Errorf("a key is printed: %s", text)
				}
			}
		}
	}
}

func TestParseSealKey_Format(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	seal := seals[0]
	good, encoded := seal.Text(), strings.TrimPrefix(seal.Text(), sealPrefix)
	for name, text := range map[string]string{"without line end": good, "LF": good + "\n", "CR LF": good + "\r\n"} {
		if got, err := ParseSealKey([]byte(text)); err != nil || got != seal {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := ParseIndexKey([]byte(strings.Replace(text, good, index.Text(), 1))); err != nil || got != index {
			t.Errorf("index key, %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty":                 "",
		"the prefix only":       sealPrefix,
		"no prefix":             encoded,
		"another format":        strings.Replace(good, "-1:", "-2:", 1),
		"an index key":          index.Text(),
		"two keys":              good + "\n" + good + "\n",
		"two line ends":         good + "\n\n",
		"a line end inside":     good[:40] + "\n" + good[40:],
		"a space before":        " " + good,
		"a space after":         good + " ",
		"31 bytes":              sealPrefix + base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"33 bytes":              sealPrefix + base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"without padding":       strings.TrimSuffix(good, "="),
		"bits after the bytes":  sealPrefix + strings.Repeat("A", 42) + "B=",
		"the URL-safe alphabet": sealPrefix + strings.Repeat("_", 42) + "8=",
		"hexadecimal":           sealPrefix + strings.Repeat("0", 64),
		"zeros only":            sealPrefix + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"the text of no key":    SealKey{}.Text(),
	} {
		got, err := ParseSealKey([]byte(text))
		if err == nil || got != (SealKey{}) {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), encoded[:8]) {
			t.Errorf("%s: the error contains the key: %v", name, err)
		}
	}
}

func TestParseIndexKey_RejectsSealKey(t *testing.T) {
	_, seals := newTestKeys(t, 1)
	if _, err := ParseIndexKey([]byte(seals[0].Text())); err == nil || !strings.Contains(err.Error(), "another kind of key") {
		t.Errorf("error %v", err)
	}
}

// FuzzParseKey checks that each key has exactly one text, and that an error comes with the zero key.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{
		"", SealKey{markedSecret}.Text(), IndexKey{markedSecret}.Text() + "\n", SealKey{}.Text() + "\r\n", sealPrefix, "-----BEGIN PRIVATE KEY-----", sealPrefix + "====",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		seal, sealErr := ParseSealKey(text)
		index, indexErr := ParseIndexKey(text)
		if sealErr == nil && indexErr == nil {
			t.Fatal("accepted as both kinds of key")
		}
		line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if sealErr == nil && seal.Text() != line || indexErr == nil && index.Text() != line {
			t.Fatal("the key has another text")
		}
		if sealErr != nil && seal != (SealKey{}) || indexErr != nil && index != (IndexKey{}) {
			t.Fatal("a key is returned with an error")
		}
	})
}
