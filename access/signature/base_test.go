package signature

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// Keys of RFC 9421, appendix B.1.
const (
	rfcSharedSecret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
	rfcEd25519      = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
`
	rfcEd25519Private = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
`
	rfcRSAPSS = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
`
)

// rfcRequest is test-request of appendix B.2.
func rfcRequest() Request {
	return Request{
		Method: "POST", Authority: "example.com", Path: "/foo", Query: "param=Value&Pet=dog", HasQuery: true, HasBody: true,
		Header: http.Header{
			"Date":           {"Tue, 20 Apr 2021 02:07:55 GMT"},
			"Content-Type":   {"application/json"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
			"Content-Length": {"18"},
		},
	}
}

// rfcTransform is the request of appendix B.4.
func rfcTransform() Request {
	return Request{
		Method: "GET", Authority: "example.org", Path: "/demo", Query: "name1=Value1&Name2=value2", HasQuery: true,
		Header: http.Header{"Date": {"Fri, 15 Jul 2022 14:24:55 GMT"}, "Accept": {"application/json", "*/*"}},
	}
}

type verifier func(base string, signature []byte) bool

func rfcVerifiers(t *testing.T) (hmac, ed25519, rsaPSS verifier) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(rfcSharedSecret)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := HMACKey("test-shared-secret", must(ParseSecret([]byte(secretText(string(raw))))))
	if err != nil {
		t.Fatal(err)
	}
	ed, err := ParseKey("test-key-ed25519", []byte(rfcEd25519))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(rfcRSAPSS))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	// RSA is not in the profile, but its test vectors check the signature base.
	return shared.verify, ed.verify, func(base string, signature []byte) bool {
		sum := sha512.Sum512([]byte(base))
		return rsa.VerifyPSS(public.(*rsa.PublicKey), crypto.SHA512, sum[:], signature, nil) == nil
	}
}

// vector is a test vector of the RFC.
type vector struct {
	name      string
	request   Request
	input     string
	signature string
	base      []string
	verify    verifier
}

func vectors(t *testing.T) []vector {
	hmac, ed, rsaPSS := rfcVerifiers(t)
	return []vector{
		{
			name: "B.2.1, minimal, rsa-pss-sha512", request: rfcRequest(), verify: rsaPSS,
			input: `sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
			signature: `sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52e` +
				`SkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvt` +
				`l6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:`,
			base: []string{`"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`},
		},
		{
			name: "B.2.3, full coverage, rsa-pss-sha512", request: rfcRequest(), verify: rsaPSS,
			input: `sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			signature: `sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0` +
				`O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldml` +
				`u9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:`,
			base: []string{
				`"date": Tue, 20 Apr 2021 02:07:55 GMT`, `"@method": POST`, `"@path": /foo`, `"@query": ?param=Value&Pet=dog`,
				`"@authority": example.com`, `"content-type": application/json`,
				`"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:`,
				`"content-length": 18`,
				`"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			},
		},
		{
			name: "B.2.5, hmac-sha256", request: rfcRequest(), verify: hmac,
			input:     `sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			signature: `sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:`,
			base: []string{
				`"date": Tue, 20 Apr 2021 02:07:55 GMT`, `"@authority": example.com`, `"content-type": application/json`,
				`"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			},
		},
		{
			name: "B.2.6, ed25519", request: rfcRequest(), verify: ed,
			input:     `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			signature: `sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`,
			base: []string{
				`"date": Tue, 20 Apr 2021 02:07:55 GMT`, `"@method": POST`, `"@path": /foo`, `"@authority": example.com`,
				`"content-type": application/json`, `"content-length": 18`,
				`"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			},
		},
		{
			name: "B.4, ed25519", request: rfcTransform(), verify: ed,
			input:     `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			signature: `transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`,
			base: []string{
				`"@method": GET`, `"@path": /demo`, `"@authority": example.org`, `"accept": application/json, */*`,
				`"@signature-params": ("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			},
		},
	}
}

// baseOf returns the signature base of a request with these two headers, and the signature.
func baseOf(t *testing.T, r Request, input, signature string) (string, []byte) {
	t.Helper()
	r.Header = r.Header.Clone()
	r.Header.Set("Signature-Input", input)
	r.Header.Set("Signature", signature)
	in, err := parse(r.Header)
	if err != nil {
		t.Fatal(err)
	}
	text, err := base(r, in.components, in.text)
	if err != nil {
		t.Fatal(err)
	}
	return text, in.signature
}

func TestBase_RFCVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			text, signature := baseOf(t, v.request, v.input, v.signature)
			if want := strings.Join(v.base, "\n"); text != want {
				t.Errorf("the base is\n%s\nwant\n%s", text, want)
			}
			if !v.verify(text, signature) {
				t.Error("the signature does not verify")
			}
			if v.verify(text+" ", signature) {
				t.Error("the signature verifies another text")
			}
		})
	}
}

func TestSigningKey_RFCVectors(t *testing.T) {
	raw, err := base64.StdEncoding.DecodeString(rfcSharedSecret)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := HMACSigningKey("test-shared-secret", must(ParseSecret([]byte(secretText(string(raw))))))
	if err != nil {
		t.Fatal(err)
	}
	ed, err := ParseSigningKey("test-key-ed25519", []byte(rfcEd25519Private))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors(t) {
		for id, key := range map[string]SigningKey{"test-shared-secret": shared, "test-key-ed25519": ed} {
			if !strings.Contains(v.input, `"`+id+`"`) {
				continue
			}
			text, want := baseOf(t, v.request, v.input, v.signature)
			if got, err := key.sign(text); err != nil || string(got) != string(want) {
				t.Errorf("%s: %x %v, want %x", v.name, got, err, want)
			}
		}
	}
}

// TestBase_RFCTransformations checks appendix B.4: which changes of a request keep its signature valid.
func TestBase_RFCTransformations(t *testing.T) {
	_, ed, _ := rfcVerifiers(t)
	all := vectors(t)
	v := all[len(all)-1]
	for _, c := range []struct {
		name   string
		change func(*Request)
		want   bool
	}{
		{"a field and a parameter added", func(r *Request) { r.Header.Set("Accept-Language", "en"); r.Query += "&param=added" }, true},
		{"lines of a field joined, another left out", func(r *Request) { r.Header.Set("Accept", "application/json, */*"); r.Header.Del("Date") }, true},
		{"other fields in between", func(r *Request) { r.Header.Set("X-Other", "1") }, true},
		{"the method", func(r *Request) { r.Method = "POST" }, false},
		{"the authority", func(r *Request) { r.Authority = "example.com" }, false},
		{"the order of a field's values", func(r *Request) { r.Header["Accept"] = []string{"*/*", "application/json"} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rfcTransform()
			c.change(&r)
			if got := ed(baseOf(t, r, v.input, v.signature)); got != c.want {
				t.Errorf("verifies: %t", got)
			}
		})
	}
}

// TestComponent_RFCExamples checks the examples of sections 2.1 and 2.2.
func TestComponent_RFCExamples(t *testing.T) {
	path := func(p string) Request { return Request{Path: p} }
	query := func(q string) Request { return Request{Path: "/path", Query: q, HasQuery: true} }
	host := func(a string) Request { return Request{Authority: a, Path: "/path"} }
	header := http.Header{
		"Host-Alias":         {"www.example.com"},
		"X-Ows-Header":       {"  Leading and trailing whitespace.   \t"},
		"X-Obs-Fold-Header":  {"Obsolete line folding."}, // net/http has removed the folding
		"Cache-Control":      {"max-age=60", "   must-revalidate"},
		"Example-Dict":       {"a=1,    b=2;x=1;y=2,   c=(a   b   c)"},
		"X-Empty-Header":     {""},
		"X-Tab":              {"a\tb"},
		"X-Lines-And-Spaces": {" a ", "", "b "},
	}
	for _, c := range []struct {
		component string
		request   Request
		want      string
	}{
		{"@method", Request{Method: "POST"}, "POST"},
		{"@method", Request{Method: "patch"}, "patch"},
		{"@authority", host("www.example.com"), "www.example.com"},
		{"@authority", host("WWW.Example.COM"), "www.example.com"},
		{"@authority", host("www.example.com:443"), "www.example.com"},
		{"@authority", host("www.example.com:"), "www.example.com"},
		{"@authority", host("www.example.com:80"), "www.example.com:80"},
		{"@authority", host("www.example.com:8443"), "www.example.com:8443"},
		{"@authority", host("[2001:DB8::443]"), "[2001:db8::443]"},
		{"@authority", host("[2001:DB8::1]:443"), "[2001:db8::1]"},
		{"@target-uri", Request{Authority: "www.example.com", Path: "/path", Query: "param=value", HasQuery: true}, "https://www.example.com/path?param=value"},
		{"@target-uri", host("WWW.example.com:443"), "https://www.example.com/path"},
		{"@target-uri", Request{Authority: "h", Path: "/a%2Fb%3a", HasQuery: true}, "https://h/a%2Fb%3a?"},
		{"@target-uri", Request{Authority: "h"}, "https://h/"},
		{"@path", path("/path"), "/path"},
		{"@path", path(""), "/"},
		{"@path", path("/a%2Fb/../c//%20"), "/a%2Fb/../c//%20"},
		{"@query", query("param=value&foo=bar&baz=bat%2Dman"), "?param=value&foo=bar&baz=bat%2Dman"},
		{"@query", query("queryString"), "?queryString"},
		{"@query", query(""), "?"},
		{"@query", path("/path"), "?"},
		{"host-alias", Request{Header: header}, "www.example.com"},
		{"x-ows-header", Request{Header: header}, "Leading and trailing whitespace."},
		{"x-obs-fold-header", Request{Header: header}, "Obsolete line folding."},
		{"cache-control", Request{Header: header}, "max-age=60, must-revalidate"},
		{"example-dict", Request{Header: header}, "a=1,    b=2;x=1;y=2,   c=(a   b   c)"},
		{"x-empty-header", Request{Header: header}, ""},
		{"x-tab", Request{Header: header}, "a\tb"},
		{"x-lines-and-spaces", Request{Header: header}, "a, , b"},
	} {
		if got, err := component(c.request, c.component); err != nil || got != c.want {
			t.Errorf("%s of %q: %q %v, want %q", c.component, []string{c.request.Authority, c.request.Path, c.request.Query}, got, err, c.want)
		}
	}
}

func TestComponent_RejectsUnsupported(t *testing.T) {
	r := Request{
		Method: "GET", Authority: "h", Path: "/", Header: http.Header{
			"X-Folded": {"a\r\n b"}, "X-Line": {"a\nb"}, "X-Nul": {"a\x00"}, "X-Utf8": {"ä"},
			"Signature": {"s"}, "Signature-Input": {"s"}, "Host": {"h"}, "X-Plain": {"a"},
		},
	}
	for _, name := range []string{
		"@status", "@query-param", "@request-target", "@scheme", "@signature-params", "@METHOD", "@", "", "X-Plain", "x-absent", "x folded", "x\"",
		"x-folded", "x-line", "x-nul", "x-utf8", "host", "signature", "signature-input",
	} {
		if got, err := component(r, name); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for name, r := range map[string]Request{
		"@method": {Method: "G\nET"}, "@path": {Path: "/a\nb"}, "@query": {Query: "a\nb", HasQuery: true}, "@authority": {Authority: "a\nb"},
	} {
		if got, err := component(r, name); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with a newline: %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", ":443", ":", "user@h", "h/", "h?", "a b", "h%20", "ä.example", "h\\", "h#", "h\x00"} {
		if got, err := authority(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("authority %q: %q, %v", bad, got, err)
		}
	}
	for _, bad := range []Request{{Path: "a"}, {Path: "*"}, {Path: "/a b"}, {Path: "/ä"}, {Path: "/a?b"}, {Path: "/a#b"}, {Path: "/\x7f"}} {
		if got, err := bad.path(); !errors.Is(err, ErrMalformed) {
			t.Errorf("path %q: %q, %v", bad.Path, got, err)
		}
	}
}
