package fleet

import (
	"bytes"
	"strings"
	"testing"
)

func TestConfigTemplate_NamesClientCertificateOnlyIfThereIsOne(t *testing.T) {
	for name, row := range map[string]struct{ commonName, certificates, audience string }{
		"token only":            {"", "certificates: []\n", "sessions: [{token: true}]\n"},
		"token and certificate": {"wiki", "certificates: [{cn: wiki}]\n", "sessions: [{token: true}, {certificate: true}]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := configTemplate.Execute(&text, map[string]any{"Sessions": []string{"table: other"}, "CommonName": row.commonName, "Drain": "0s"}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{row.certificates, row.audience, "- name: sessions\n    table: other\n  - name: kask\n"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("want %q in\n%s", want, &text)
				}
			}
		})
	}
}

func TestConfigTemplate_HasSealKeysOnlyIfATableIsSealed(t *testing.T) {
	for _, c := range []struct {
		sessions []string
		want     bool
	}{
		{nil, true},
		{[]string{"layout: kask"}, false},
		{[]string{"layout: kask", "read_through: other"}, true},
	} {
		var text bytes.Buffer
		if err := configTemplate.Execute(&text, map[string]any{"Sessions": c.sessions, "Sealed": hasSealedTable(c.sessions), "Drain": "0s"}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text.String(), "\nseal: {"); got != c.want {
			t.Errorf("settings %q: the configuration has seal keys: %v, want %v", c.sessions, got, c.want)
		}
	}
}

func TestConfigTemplate_KeepsPasswordsOnlyIfThereAreClientsOfThem(t *testing.T) {
	for name, row := range map[string]struct {
		clients []passwordClient
		want    int // how often the configuration names the passwords' grants, audience and keys
	}{
		"none": {nil, 0},
		"two":  {[]passwordClient{{Name: "a", TokenHash: "1"}, {Name: "b", TokenHash: "2"}}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := configTemplate.Execute(&text, map[string]any{"Drain": "0s", "PasswordClients": row.clients}); err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, part := range []string{"passwords:verify, passwords:create", "  passwords: [{token: true}]\n", "\npasswords:\n  seal: "} {
				got += strings.Count(text.String(), part)
			}
			if got != row.want {
				t.Errorf("%d of %d parts in\n%s", got, row.want, &text)
			}
		})
	}
}
