package signature

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestWhatCannotBeReadIsMalformed has headers that no library writes; all say what to change.
func TestWhatCannotBeReadIsMalformed(t *testing.T) {
	const in, sig = `s=("@method" "@authority" "@target-uri");created=1700000000;nonce="n";keyid="wiki-1"`, `s=:AAAA:`
	many := `s=("@method" "@authority" "@target-uri"`
	for i := range 14 {
		many += fmt.Sprintf(` "x-%d"`, i)
	}
	many += strings.TrimPrefix(in, `s=("@method" "@authority" "@target-uri"`)
	for name, h := range map[string][2]string{
		"another label":               {in, `t=:AAAA:`},
		"two labels":                  {in + ", " + strings.Replace(in, "s=", "t=", 1), `s=:AAAA:, t=:AAAA:`},
		"two labels, one signature":   {in + ", t=()", sig},
		"two signatures, one input":   {in, `s=:AAAA:, t=:AAAA:`},
		"a label twice":               {`s=("@status"), ` + in, sig},
		"a signature's label twice":   {in, `s=:AAAB:, s=:AAAA:`},
		"a parameter twice":           {in + `;created=1700000000`, sig},
		"a component twice":           {`s=("@method" "@method")`, sig},
		"no list":                     {`s="@method"`, sig},
		"a label alone":               {`s`, sig},
		"nothing":                     {"", sig},
		"an empty signature header":   {in, ""},
		"a signature in quotes":       {in, `s="AAAA"`},
		"a list for a signature":      {in, `s=(:AAAA:)`},
		"a signature with parameters": {in, `s=:AAAA:;x`},
		"a token for a component":     {`s=(method)`, sig},
		"bytes for a component":       {`s=(:AAAA:)`, sig},
		"an upper case component":     {`s=("Date" "@method");created=1`, sig},
		"spaces in between":           {strings.Replace(in, `" "`, `"  "`, 1), sig},
		"a space after the semicolon": {strings.Replace(in, `;c`, `; c`, 1), sig},
		"a leading zero":              {strings.Replace(in, `=17`, `=017`, 1), sig},
		"base64 without its end":      {in, `s=:AAA:`},
		"the URLs' base64":            {in, `s=:_-8=:`},
		"a line end":                  {in + "\r\n ;x", sig},
		"an open quote":               {`s=("@method`, sig},
		"an open bracket":             {`s=("@method"`, sig},
		"seventeen components":        {many, sig},
		"a long input":                {`s=("` + strings.Repeat("a", 2048) + `")`, sig},
		"a long signature":            {in, `s=:` + strings.Repeat("AAAA", 200) + `:`},
		"the draft's keyId":           {`keyId="wiki-1",algorithm="hs2019",headers="(request-target)",signature="AAAA"`, sig},
		"characters beyond ASCII":     {strings.Replace(in, "wiki", "wiki\u00e4", 1), sig},
		"a NUL":                       {in + "\x00", sig},
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
	for name, digest := range map[string]string{
		"no algorithm": "", "an algorithm alone": "sha-256", "in quotes": `sha-256="AAAA"`, "short": "sha-256=:AAAA:", "one of another length": "sha-512=" + contentDigest(nil)[8:],
		"md5 alone": "md5=:AAAA:", "twice": contentDigest(nil) + ", " + contentDigest(nil), "a list": "sha-256=(:AAAA:)", "long": "x=:" + strings.Repeat("AAAA", 200) + ":",
	} {
		if d, err := parseDigests(http.Header{"Content-Digest": {digest}}); !errors.Is(err, ErrMalformed) || d.given() {
			t.Errorf("a digest, %s: %v", name, err)
		}
	}
}

func TestSentTellsOfEitherHeader(t *testing.T) {
	for want, all := range map[bool][]http.Header{
		false: {nil, {}, {"Content-Digest": {"x"}}},
		true:  {{"Signature": {""}}, {"Signature-Input": {""}}, {"Signature": {"a"}, "Signature-Input": {"b"}}},
	} {
		for _, h := range all {
			if HasSignature(h) != want {
				t.Errorf("%v: %t", h, !want)
			}
		}
	}
}
