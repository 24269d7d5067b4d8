package config

import (
	"strings"
	"testing"
)

func TestFile_Warnings(t *testing.T) {
	const line = "      - sha256: " + zeroHash + "\n"
	for text, want := range map[string]string{
		line:                               "u.yaml:14: clients[0].tokens[0]: the hash does not tell whether the token is hard to guess",
		line + "        generated: true\n": "",
		line + "        generated: true\n" + strings.Replace(line, "0000", "abcd", 1): "u.yaml:16: clients[0].tokens[1]: the hash does not tell",
	} {
		f, err := Parse("u.yaml", []byte(strings.Replace(minimal, line, text, 1)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range f.Warnings() {
			got = append(got, w.Error())
		}
		if all := strings.Join(got, "\n"); len(got) > 1 || !strings.HasPrefix(all, want) || (want == "") != (all == "") {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestConfig_CNVerifiers(t *testing.T) {
	const byName = "tls: {certificate: server.crt, key: server.key, client_cas: [{name: mesh, file: ca.crt}]}"
	san := strings.NewReplacer(section("tls: {cert", "\ncassandra"), byName, `keys: ["*"]`, `keys: ["{cn}:*"]`+"\n    certificates: [{san: a.example}]").Replace(minimal)
	if err := parseError(t, san); !strings.Contains(err, "clients[0].keys[0]: {cn} is the common name") || !strings.Contains(err, "verifies_cn: true") {
		t.Error(err)
	}
	if _, err := Parse("u.yaml", []byte(strings.Replace(san, "file: ca.crt}]", "file: ca.crt, verifies_cn: true}]", 1))); err != nil {
		t.Error(err)
	}
}
