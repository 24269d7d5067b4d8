package load

import (
	"strings"
	"testing"

	"userinfo/drill/history"
)

func TestParseValue_DetectsDamage(t *testing.T) {
	value := makeValue("k:1", 77)
	if version, key := ParseValue(value); version != 77 || key != "k:1" {
		t.Errorf("version %d of %q", version, key)
	}
	other := makeValue("k:1", 78)
	for name, torn := range map[string]string{
		"empty":           "",
		"truncated":       value[:len(value)-1],
		"extended":        value + "x",
		"changed version": strings.Replace(value, "77", "78", 1),
		"two mixed":       value[:60] + other[60:],
		"another key":     strings.Replace(value, "k:1", "k:2", 1),
		"another format":  "TYPE.hmac.serialized",
		"version zero":    makeValue("k:1", 0),
	} {
		if version, _ := ParseValue(torn); version != history.Torn {
			t.Errorf("%s: version %d", name, version)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add(makeValue("k", 1))
	f.Add("drill1 1 k 00000000\n")
	f.Fuzz(func(t *testing.T, text string) {
		if version, key := ParseValue(text); version != history.Torn && (version <= 0 || !strings.HasPrefix(text, "drill1 ") || key == "") {
			t.Errorf("%q: version %d of %q", text, version, key)
		}
	})
}
