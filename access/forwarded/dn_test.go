package forwarded_test

import (
	"errors"
	"strings"
	"testing"

	"userinfo/access/forwarded"
)

func TestCommonName_AcceptsOneUnambiguousName(t *testing.T) {
	for _, test := range []struct{ dn, want string }{
		{"CN=alice", "alice"},
		{"/CN=alice", "alice"},
		{"CN=alice,O=y", "alice"},
		{"O=y,CN=alice", "alice"},
		{"/CN=alice/O=y", "alice"},
		{"/C=US/O=y/CN=alice", "alice"},
		{"cn=alice,dc=example,dc=org", "alice"},
		{"2.5.4.3=alice", "alice"},
		{"CN=two words,O=y", "two words"},
		{"CN=HTTP/wiki.example,O=y", "HTTP/wiki.example"},
		{"CN=Ålice,O=y", "Ålice"},
		{"emailAddress=a@example.org,CN=alice", "alice"},

		{"", ""}, {"/", ""}, {",", ""}, {"alice", ""}, {"O=y", ""}, {"/O=y", ""}, {"CN=", ""}, {"/CN=/O=y", ""}, {"=alice", ""},
		{"CN=alice,CN=bob", ""}, {"/CN=alice/CN=bob", ""}, {"CN=alice,cn=alice", ""}, {"CN=alice,commonName=bob", ""}, {"CN=alice,2.5.4.3=bob", ""},
		{"CN=alice+UID=1,O=y", ""}, {"/CN=alice+CN=bob", ""},
		{`CN=alice\,O=y`, ""}, {`CN=ali\63e`, ""}, {`O=a\,b,CN=alice`, ""}, {`CN="alice"`, ""}, {"CN=#0c05616c696365", ""}, {"CN=alice;O=y", ""}, {"CN=<alice>", ""},
		{"CN=a=b", ""}, {"CN=alice,", ""}, {",CN=alice", ""}, {"//CN=alice", ""}, {"/CN=alice/", ""}, {"/O=a/b/CN=alice", ""}, {"/CN=alice,O=y", ""},
		{" CN=alice", ""}, {"CN =alice", ""}, {"CN= alice", ""}, {"CN=alice ", ""}, {"CN=alice, O=y", ""}, {"O = y, CN = alice", ""},
		{"CN=ali\tce", ""}, {"CN=ali\x00ce", ""}, {"CN=ali\x7fce", ""}, {"CN=\xff", ""}, {"CN=(alice", "(alice"}, {"C N=alice", ""},
		{"O=" + strings.Repeat("y", 1017) + ",CN=a", "a"}, {"O=" + strings.Repeat("y", 1018) + ",CN=a", ""},
	} {
		c, err := rules(t, nil, "X-Client-Dn").Client(fields("X-Client-Dn", test.dn), forwarded.TrustedProxy, now)
		if c.CommonName != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, forwarded.ErrMalformed) {
			t.Errorf("%q: common name %q, %v; want %q", test.dn, c.CommonName, err, test.want)
		}
	}
}

// FuzzDN checks that an accepted common name is the value of an attribute in the header.
func FuzzDN(f *testing.F) {
	for _, seed := range []string{
		"CN=alice", "/CN=alice", "CN=alice,O=y", "/C=US/O=y/CN=alice", "CN=alice,CN=bob", `CN=a\,b`, `CN="a"`, "CN=a+UID=1", "CN=#0c", "2.5.4.3=x", "commonName=x,CN=y", "CN=a=b", "", "/",
	} {
		f.Add(seed)
	}
	r := rules(f, nil, "X-Client-Dn")
	f.Fuzz(func(t *testing.T, dn string) {
		h := fields("X-Client-Dn", dn)
		if _, err := r.Client(h, forwarded.UntrustedPeer, now); !errors.Is(err, forwarded.ErrUntrustedPeer) {
			t.Fatalf("untrusted: %v", err)
		}
		c, err := r.Client(h, forwarded.TrustedProxy, now)
		if (err == nil) != (c.CommonName != "") || err != nil && !errors.Is(err, forwarded.ErrMalformed) {
			t.Fatalf("%q with %v", c.CommonName, err)
		}
		if err != nil {
			return
		}
		lower := strings.ToLower(dn)
		count := strings.Count(lower, "cn=") + strings.Count(lower, "commonname=") + strings.Count(lower, "2.5.4.3=")
		if count < 1 || !strings.Contains(dn, "="+c.CommonName) || strings.ContainsAny(c.CommonName, "\"+,;<=>\\\x00\r\n") {
			t.Fatalf("%q: common name %q", dn, c.CommonName)
		}
	})
}
