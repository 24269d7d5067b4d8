package access

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAuthority_Rejects(t *testing.T) {
	for _, text := range []string{
		"", " ", ".", ":", ":8443", "a..b", ".a", "a b", "a/", "a/b", "/", "user@a", "user:pass@a", "a@", "a%20b", "a%2fb", "a,b", "a\x00", "ä.example", "a*", "*", "*.a.b",
		"a:0", "a:65536", "a:-1", "a:+1", "a:1:2", "a: 1", "a:http", "::1", "fe80::1:8443", "[::1", "::1]", "[]", "[1.2.3.4]", "[::1]x", "[::1]:x", "[fe80::1%eth0]", "[fe80::1%25eth0]",
		strings.Repeat("a", 254), "https://a", "a?b", "a#b", "a\\b", "'a'", "[a]",
	} {
		if a, err := ParseAuthority(text); err == nil || a != (Authority{}) {
			t.Errorf("%q: %+v, %v", text, a, err)
		} else if len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("%q is in the error %q", text, err)
		}
	}
}

func authorities(t testing.TB, texts ...string) Authorities {
	t.Helper()
	a, err := ParseAuthorities("authorities", texts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthorities_Check(t *testing.T) {
	listed := []string{"userinfo.example", "*.wiki.example", "other.example:9443", "10.0.0.1", "2001:db8::1", "[2001:db8::2]:9443"}
	local := netip.MustParseAddrPort("10.0.0.7:8443")
	for _, c := range []struct {
		sent             string
		unsigned, signed bool
	}{
		{"userinfo.example", true, true},
		{"userinfo.example:8443", true, true},
		{"userinfo.example:443", true, true},
		{"userinfo.example:", true, true},
		{"USERINFO.Example:8443", true, true},
		{"userinfo.example.", true, true},
		{"userinfo.example.:8443", true, true},
		{"userinfo.example:8444", true, false},
		{"userinfo.example:80", true, false},
		{"evil.example", false, false},
		{"xuserinfo.example", false, false},
		{"userinfo.example.evil.example", false, false},
		{"www.userinfo.example", false, false},
		{"example", false, false},
		{"a.wiki.example", true, true},
		{"A.wiki.example.:8443", true, true},
		{"a.wiki.example:9443", true, false},
		{"a.b.wiki.example", false, false},
		{"wiki.example", false, false},
		{"other.example:9443", true, true},
		{"other.example", true, false},
		{"other.example:8443", true, false},
		{"10.0.0.1", true, true},
		{"10.0.0.1.:8443", true, true},
		{"[::ffff:10.0.0.1]:8443", true, true},
		{"10.0.0.2:8443", false, false},
		{"[2001:db8::1]", true, true},
		{"[2001:DB8:0::1]:8443", true, true},
		{"[2001:db8::2]:9443", true, true},
		{"[2001:db8::2]:8443", true, false},
		// The address of the connection.
		{"10.0.0.7:8443", true, false},
		{"10.0.0.7", true, false},
		{"10.0.0.7:9443", true, false},
	} {
		for signed, want := range map[bool]bool{false: c.unsigned, true: c.signed} {
			sent, err := ParseAuthority(c.sent)
			if err != nil {
				t.Fatalf("%s: %v", c.sent, err)
			}
			if err := authorities(t, listed...).Check(sent, local, signed); (err == nil) != want || err != nil && !errors.Is(err, ErrMisdirected) {
				t.Errorf("%s, signed %v: %v, want %v", c.sent, signed, err, want)
			}
			if err := (Authorities{}).Check(sent, netip.AddrPort{}, signed); !errors.Is(err, ErrMisdirected) {
				t.Errorf("%s without authorities: %v", c.sent, err)
			}
		}
	}
	for _, signed := range []bool{false, true} {
		if err := authorities(t, listed...).Check(Authority{}, local, signed); !errors.Is(err, ErrMisdirected) {
			t.Errorf("the zero Authority: %v", err)
		}
		if err := (Authorities{}).Check(Authority{}, netip.AddrPort{}, signed); !errors.Is(err, ErrMisdirected) {
			t.Errorf("the zero Authority and no address: %v", err)
		}
	}
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.7]:8443") // the local address of a listener for IPv4 and IPv6
	if sent, err := ParseAuthority("10.0.0.7:8443"); err != nil || authorities(t, "a").Check(sent, mapped, false) != nil {
		t.Error("an IPv4 address is not recognized in its IPv6 form")
	}
}

func TestParseAuthorities_Rejects(t *testing.T) {
	for text, says := range map[string]string{
		"":                      "is not a host name",
		"https://a.example":     "write a name such as",
		"a.example/":            "write a name such as",
		"user@a.example":        "write a name such as",
		"*":                     "write a name such as",
		"*.*.example":           "write a name such as",
		"a*.example.org":        "write a name such as",
		"*.example":             "more than one domain",
		"*.10.0.0.1":            "more than one domain",
		"10.0.0.0/8":            "write a name such as",
		"fe80::1%eth0":          "write a name such as",
		"a.example:https":       "port that is not a number",
		"*.[2001:db8::1]:65536": "port that is not a number",
	} {
		if _, err := ParseAuthorities("authorities", []string{"ok.example", text}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "authorities[1]") {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestCertificateAuthorities_TakesNamesAndAddresses(t *testing.T) {
	a := CertificateAuthorities(&x509.Certificate{
		DNSNames:    []string{"UserInfo.example", "*.wiki.example", "*.com", "f*.example.org", "a_b.example", ""},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1), net.ParseIP("2001:db8::1")},
	})
	if got := strings.Join(a.Texts(), " "); got != "UserInfo.example *.wiki.example a_b.example 10.0.0.1 2001:db8::1" {
		t.Error(got)
	}
	for text, want := range map[string]bool{
		"userinfo.example:8443": true, "en.wiki.example": true, "a.example": false, "a.com": false, "f1.example.org": false, "10.0.0.1": true, "[2001:db8::1]:8443": true,
	} {
		sent, err := ParseAuthority(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Check(sent, netip.MustParseAddrPort("10.0.0.9:8443"), true); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParseAuthority(f *testing.F) {
	for _, seed := range []string{
		"userinfo.example", "userinfo.example:8443", "[2001:db8::1]:8443", "10.0.0.1:", "a b", "a/b", "user@a", "", ".", "a..", "::1", "[::ffff:1.2.3.4]", "*.a.b", "a:00443", "[fe80::1%eth0]", "xn--a.example.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAuthority(text)
		if (err == nil) != (a.host != "") {
			t.Fatalf("%q: %+v, %v", text, a, err)
		}
		if err != nil {
			return
		}
		if strings.ContainsAny(text, " /@?#%\\,\t\r\n") {
			t.Errorf("%q is accepted", text)
		}
		// What is accepted as an entry contains itself, and nothing with another host.
		list, err := ParseAuthorities("authorities", []string{text})
		if err != nil {
			t.Fatalf("%q is an authority, but no entry: %v", text, err)
		}
		if err := list.Check(a, netip.AddrPort{}, true); err != nil {
			t.Errorf("%q does not contain itself", text)
		}
		if other, err := ParseAuthority("x." + text); err == nil && list.Check(other, netip.AddrPort{}, true) == nil {
			t.Errorf("%q contains a host below it", text)
		}
	})
}
