package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

// testPolicy has one client, known by a certificate, which may read every session. Health is open to everybody.
func testPolicy(t *testing.T) *access.Policy {
	t.Helper()
	yes := true
	p, err := access.NewPolicy(access.PolicyConfig{
		Collections: []string{"sessions"},
		ClientCAs:   []string{access.DefaultClientCA},
		Now:         time.Now,
		Audiences:   access.Audiences{"sessions": {{Certificate: &yes}}, access.Health: {{Allow: &yes}}},
		Clients: []access.Client{{Name: "wiki", Certificates: []access.CertificateName{{CN: "wiki"}},
			Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQuestion_AnswerFailsClosed(t *testing.T) {
	for name, q := range map[string]question{
		"no question":              {},
		"no credentials":           {grant: "sessions:get", key: "k"},
		"an untrusted certificate": {grant: "sessions:get", key: "k", untrusted: errors.New("untrusted")},
		"an unknown grant":         {grant: "sessions:list", key: "k"},
	} {
		var out strings.Builder
		if q.answer(testPolicy(t), &out) || !strings.HasPrefix(out.String(), "refused, as nobody: ") {
			t.Errorf("%s: %s", name, &out)
		}
	}
}

func TestQuestion_AnswerAllowsHealthWhateverTheCredentials(t *testing.T) {
	var out strings.Builder
	q := question{grant: healthGrant, untrusted: errors.New("untrusted")}
	if !q.answer(testPolicy(t), &out) || out.String() != "allowed, as anybody\n" {
		t.Errorf("%s", &out)
	}
}

func TestQuestion_ReadTokenRejectsFileThatOthersCanRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o644: false, 0o602: false} {
		if err := errors.Join(os.WriteFile(file, []byte("planted-token\n"), 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		var q question
		err := q.readToken(file)
		if good != (err == nil) || good != slices.Equal(q.credentials.Authorization, []string{"Bearer planted-token"}) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestQuestion_CheckGrant(t *testing.T) {
	for _, test := range []struct {
		q    question
		want string
	}{
		{question{grant: "sessions:get"}, "--key-file is missing"},
		{question{grant: "sessions:list", key: "k"}, "--may: "},
		{question{grant: "sessions:get", key: "k"}, ""},
		{question{grant: healthGrant}, ""},
	} {
		err := test.q.checkGrant(testPolicy(t))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.q.grant, err, test.want)
		}
	}
}
