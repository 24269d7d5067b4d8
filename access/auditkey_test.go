package access_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"userinfo/access"
)

func auditKey(t testing.TB, fill byte) access.AuditKey {
	t.Helper()
	k, err := access.NewAuditKey(bytes.NewReader(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAuditKey_Hash(t *testing.T) {
	k := auditKey(t, 7)
	mac := hmac.New(sha256.New, bytes.Repeat([]byte{7}, 32))
	mac.Write([]byte("enwiki:1"))
	if got, want := k.Hash("enwiki:1"), k.ID()+":"+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if k.Hash("enwiki:1") == k.Hash("enwiki:2") || k.Hash("enwiki:1") == auditKey(t, 8).Hash("enwiki:1") || k.ID() == auditKey(t, 8).ID() {
		t.Error("different keys have the same hash or id")
	}
	if k.Hash("") != "" || (access.AuditKey{}).Hash("enwiki:1") != "" {
		t.Error("there is a hash without an audit key or without a session key")
	}
}

func TestParseAuditKey_AcceptsOnlyText(t *testing.T) {
	k := auditKey(t, 7)
	for _, text := range []string{k.Text(), k.Text() + "\n", k.Text() + "\r\n"} {
		if got, err := access.ParseAuditKey([]byte(text)); err != nil || got != k {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "\n", k.Text() + "\n\n", " " + k.Text(), k.Text()[:40], strings.Replace(k.Text(), "audit", "seal", 1),
		k.Text() + k.Text(), strings.Replace(k.Text(), "B", "B\n", 1), access.AuditKey{}.Text()} {
		if got, err := access.ParseAuditKey([]byte(text)); err == nil || got != (access.AuditKey{}) || strings.Contains(err.Error(), "BwcH") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := access.NewAuditKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a key was made from 31 random bytes")
	}
}

func TestAuditKey_PrintsRedacted(t *testing.T) {
	k := auditKey(t, 7)
	text, err := json.Marshal(map[string]any{"k": k, "in": struct{ K access.AuditKey }{k}})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text = append(text, fmt.Sprintf(format, k)+fmt.Sprintf(format, []access.AuditKey{k})...)
	}
	if got := string(text); strings.Contains(got, "BwcH") || strings.Contains(got, "7 7") || strings.Contains(got, "0707") || !strings.Contains(got, "[redacted]") {
		t.Errorf("the key is printed: %s", got)
	}
}

func FuzzParseAuditKey(f *testing.F) {
	k := auditKey(f, 7)
	for _, seed := range []string{k.Text(), k.Text() + "\n", "", "userinfo-audit-key-1:", "userinfo-audit-key-1:AAAA"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := access.ParseAuditKey(text)
		if err != nil {
			return
		}
		if strings.TrimRight(string(text), "\r\n") != got.Text() {
			t.Fatalf("%q was parsed as %q", text, got.Text())
		}
	})
}
