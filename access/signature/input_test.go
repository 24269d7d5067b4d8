package signature

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// FuzzParse checks that accepted headers are written again as the same bytes, that other headers are ErrMalformed, and that nothing
// verifies without a valid signature.
func FuzzParse(f *testing.F) {
	good := signed(f, hmacKey, body).Header
	f.Add(good.Get("Signature-Input"), good.Get("Signature"), good.Get("Content-Digest"))
	for _, v := range []string{
		`sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
		`sig1=("@method" "date";bs "x";sf;key="a");created=1.5;expires=@1;nonce=t;keyid=:AA==:;alg=?0`,
		`a=(), b=()`, `a=();x;x=1`, `a=%"f%c3%bc"`, `a="\""`, `a=1, `, "a=(\t)", `*=()`, `a=(`,
	} {
		f.Add(v, `a=:AAAA:`, `sha-256=:AAAA:, sha-512=::`)
	}
	f.Fuzz(func(t *testing.T, input, signature, digest string) {
		h := http.Header{"Signature-Input": {input}, "Signature": {signature}, "Content-Digest": {digest}, "Ttl": {"1"}}
		in, err := parse(h)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("unexpected kind of error: %v", err)
		}
		if err == nil {
			label, _, _ := strings.Cut(strings.Trim(input, " \t"), "=")
			if again := label + "=" + rewrite(t, in); strings.Trim(input, " \t") != again {
				t.Fatalf("%q was parsed as %q", input, again)
			}
			if strings.Trim(input, " \t") != label+"="+in.text {
				t.Fatalf("the value of @signature-params of %q is %q", input, in.text)
			}
			if again, err := httpsfv.Marshal(httpsfv.NewItem(in.signature)); err != nil || strings.Trim(signature, " \t") != label+"="+again {
				t.Fatalf("%q was parsed as %s", signature, again)
			}
		}
		if d, err := parseDigests(h); (err == nil) != d.sent() || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("digest: %v", err)
		}
		r := Request{Method: "PUT", Authority: "h", Path: "/", Header: h, HasBody: true}
		if _, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
			t.Fatalf("the request verifies: %v", err)
		}
	})
}

// rewrite returns the value of @signature-params from the parsed fields, with the parameters in the order in which they were sent.
func rewrite(t *testing.T, in *input) string {
	list := httpsfv.InnerList{Params: httpsfv.NewParams()}
	for _, c := range in.components {
		list.Items = append(list.Items, httpsfv.NewItem(c))
	}
	sent, err := httpsfv.UnmarshalList([]string{in.text})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sent[0].(httpsfv.InnerList).Params.Names() {
		list.Params.Add(name, map[string]any{
			"created": in.created, "expires": in.expires, "nonce": in.nonce, "keyid": in.keyID, "alg": string(in.algorithm),
		}[name])
	}
	text, err := httpsfv.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The headers are not what a library writes.
func TestParse_RejectsMalformedHeaders(t *testing.T) {
	const in, sig = `s=("@method" "@authority" "@target-uri");created=1700000000;nonce="n";keyid="wiki-1"`, `s=:AAAA:`
	many := `s=("@method" "@authority" "@target-uri"`
	for i := range 14 {
		many += fmt.Sprintf(` "x-%d"`, i)
	}
	many += strings.TrimPrefix(in, `s=("@method" "@authority" "@target-uri"`)
	for name, h := range map[string][2]string{
		"another label":                  {in, `t=:AAAA:`},
		"two labels":                     {in + ", " + strings.Replace(in, "s=", "t=", 1), `s=:AAAA:, t=:AAAA:`},
		"two labels, one signature":      {in + ", t=()", sig},
		"two signatures, one input":      {in, `s=:AAAA:, t=:AAAA:`},
		"a label twice":                  {`s=("@status"), ` + in, sig},
		"a label of Signature twice":     {in, `s=:AAAB:, s=:AAAA:`},
		"a parameter twice":              {in + `;created=1700000000`, sig},
		"a component twice":              {`s=("@method" "@method")`, sig},
		"a component in place of a list": {`s="@method"`, sig},
		"a label alone":                  {`s`, sig},
		"nothing":                        {"", sig},
		"an empty signature header":      {in, ""},
		"a signature in quotes":          {in, `s="AAAA"`},
		"a list for a signature":         {in, `s=(:AAAA:)`},
		"a signature with parameters":    {in, `s=:AAAA:;x`},
		"a token for a component":        {`s=(method)`, sig},
		"bytes for a component":          {`s=(:AAAA:)`, sig},
		"an upper case component":        {`s=("Date" "@method");created=1`, sig},
		"spaces in between":              {strings.Replace(in, `" "`, `"  "`, 1), sig},
		"a space after the semicolon":    {strings.Replace(in, `;c`, `; c`, 1), sig},
		"a leading zero":                 {strings.Replace(in, `=17`, `=017`, 1), sig},
		"base64 without padding":         {in, `s=:AAA:`},
		"base64url":                      {in, `s=:_-8=:`},
		"a newline":                      {in + "\r\n ;x", sig},
		"an open quote":                  {`s=("@method`, sig},
		"an open bracket":                {`s=("@method"`, sig},
		"seventeen components":           {many, sig},
		"a long input":                   {`s=("` + strings.Repeat("a", 2048) + `")`, sig},
		"a long signature":               {in, `s=:` + strings.Repeat("AAAA", 200) + `:`},
		"headers of an old draft":        {`keyId="wiki-1",algorithm="hs2019",headers="(request-target)",signature="AAAA"`, sig},
		"characters beyond ASCII":        {strings.Replace(in, "wiki", "wiki\u00e4", 1), sig},
		"a NUL":                          {in + "\x00", sig},
	} {
		r := Request{Method: "GET", Authority: "h", Path: "/", Header: http.Header{"Signature-Input": {h[0]}, "Signature": {h[1]}}}
		for i := range 14 {
			r.Header.Set(fmt.Sprintf("X-%d", i), "")
		}
		_, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find)
		if !errors.Is(err, ErrMalformed) || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParse_RejectsComponentParameters(t *testing.T) {
	for _, input := range []string{
		// B.2.2
		`sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
		`s=("date";sf);created=1`, `s=("date";bs);created=1`, `s=("date";tr);created=1`, `s=("@method";req);created=1`, `s=("content-digest";key="sha-256");created=1`,
	} {
		_, err := parse(http.Header{"Signature-Input": {input}, "Signature": {strings.SplitN(input, "=", 2)[0] + "=:AA==:"}})
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "cover it without") {
			t.Errorf("%s: %v", input, err)
		}
	}
}
