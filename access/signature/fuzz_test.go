package signature

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// FuzzParse: what is read is what was written, to the byte; all else is malformed; and nothing verifies that was not
// signed.
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
			t.Fatalf("an error of no kind: %v", err)
		}
		if err == nil {
			label, _, _ := strings.Cut(strings.Trim(input, " \t"), "=")
			if again := label + "=" + written(t, in); strings.Trim(input, " \t") != again {
				t.Fatalf("%q is read as %q", input, again)
			}
			if strings.Trim(input, " \t") != label+"="+in.text {
				t.Fatalf("the value of @signature-params of %q is %q", input, in.text)
			}
			if again, err := httpsfv.Marshal(httpsfv.NewItem(in.signature)); err != nil || strings.Trim(signature, " \t") != label+"="+again {
				t.Fatalf("%q is read as %s", signature, again)
			}
		}
		if d, err := parseDigests(h); (err == nil) != d.given() || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("a digest: %v", err)
		}
		r := Request{Method: "PUT", Authority: "h", Path: "/", Header: h, HasBody: true}
		if _, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrRefused) {
			t.Fatalf("it verifies: %v", err)
		}
	})
}

// written is what was read, put together again; the parameters are in the order in which they were sent.
func written(t *testing.T, in *input) string {
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
