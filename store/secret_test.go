package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// sealPrefix begins the file of a seal key.
const sealPrefix = "userinfo-seal-key-1:"

// markedSecret is 32 bytes that can be seen in any form.
var markedSecret = secret([]byte("MARKED-SECRET-MARKED-SECRET-MARK"))

func TestKeysPrintAsRedacted(t *testing.T) {
	seal, index := SealKey{markedSecret}, IndexKey{markedSecret}
	keys := mustKeys(t, index, seal)
	// What is made of the keys is as secret as they are.
	derived := (*keys.seals.Load())[0].prk
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "seal", seal, "index", index, "keys", keys, "list", []SealKey{seal})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "seal", seal, "index", index, "keys", keys, "list", []SealKey{seal})
	inJSON, err := json.Marshal([]any{seal, index, keys, &seal, map[string]any{"k": index}})
	if err != nil {
		t.Fatal(err)
	}
	said := []string{log.String(), string(inJSON)}
	tools := Options{Keys: keys}
	for _, verb := range "vsxXqdcbo" {
		for _, flags := range []string{"", "+", "#"} {
			format := "%" + flags + string(verb)
			for _, v := range []any{seal, index, keys, &seal, []SealKey{seal}, struct{ K IndexKey }{index}, tools} {
				said = append(said, fmt.Sprintf(format, v))
			}
		}
	}
	for _, s := range said {
		for _, hidden := range [][]byte{markedSecret[:13], derived[:8]} {
			for _, form := range []string{string(hidden), fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), strings.Trim(fmt.Sprint(hidden), "[]"), base64.StdEncoding.EncodeToString(hidden)[:10]} {
				if strings.Contains(s, form) {
					t.Errorf("a key is shown: %s", s)
				}
			}
		}
	}
}

func TestAKeyFileIsOneKeyOfItsKind(t *testing.T) {
	index, seals := newTestKeys(t, 1)
	seal := seals[0]
	good, encoded := seal.Text(), strings.TrimPrefix(seal.Text(), sealPrefix)
	for name, text := range map[string]string{"as it is": good, "with a line end": good + "\n", "with a line end of Windows": good + "\r\n"} {
		if got, err := ParseSealKey([]byte(text)); err != nil || got != seal {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := ParseIndexKey([]byte(strings.Replace(text, good, index.Text(), 1))); err != nil || got != index {
			t.Errorf("index key %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":               "",
		"the prefix alone":      sealPrefix,
		"no prefix":             encoded,
		"another format":        strings.Replace(good, "-1:", "-2:", 1),
		"an index key":          index.Text(),
		"two":                   good + "\n" + good + "\n",
		"two line ends":         good + "\n\n",
		"a line end within":     good[:40] + "\n" + good[40:],
		"a space before":        " " + good,
		"a space behind":        good + " ",
		"31 bytes":              sealPrefix + base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"33 bytes":              sealPrefix + base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"without padding":       strings.TrimSuffix(good, "="),
		"bits beyond the bytes": sealPrefix + strings.Repeat("A", 42) + "B=",
		"the URLs' alphabet":    sealPrefix + strings.Repeat("_", 42) + "8=",
		"hexadecimal":           sealPrefix + strings.Repeat("0", 64),
		"nothing but zeros":     SealKey{}.Text(),
	} {
		got, err := ParseSealKey([]byte(text))
		if err == nil || got != (SealKey{}) {
			t.Errorf("%s is a key", name)
		} else if strings.Contains(err.Error(), encoded[:8]) {
			t.Errorf("%s: the error repeats it: %v", name, err)
		}
	}
	if _, err := ParseIndexKey([]byte(good)); err == nil || !strings.Contains(err.Error(), "another kind of key") {
		t.Errorf("a seal key for an index key: %v", err)
	}
}

// FuzzParseKey: there is one text for each key, and whatever is none is not repeated.
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
			t.Fatal("it is both")
		}
		line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if sealErr == nil && seal.Text() != line || indexErr == nil && index.Text() != line {
			t.Fatal("its text is another")
		}
		if sealErr != nil && seal != (SealKey{}) || indexErr != nil && index != (IndexKey{}) {
			t.Fatal("a key beside an error")
		}
	})
}
