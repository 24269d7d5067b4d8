package signature

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestHasSignature_AnyHeader(t *testing.T) {
	for want, all := range map[bool][]http.Header{
		false: {nil, {}, {"Content-Digest": {"x"}}},
		true:  {{"Signature": {""}}, {"Signature-Input": {""}}, {"Signature": {"a"}, "Signature-Input": {"b"}}},
	} {
		for _, h := range all {
			if HasSignature(h) != want {
				t.Errorf("HasSignature(%v) = %t", h, !want)
			}
		}
	}
}

// Everything that must not be printed contains MARKED.
func TestVerifier_ErrorsShowNoPathOrSecret(t *testing.T) {
	for _, key := range []SigningKey{hmacKey, edKey} {
		r := signed(t, key, body)
		r.Path = "/MARKED-PATH"
		r.Header.Set("Authorization", "MARKED-TOKEN")
		for _, change := range []func(*Request){
			func(*Request) {}, func(r *Request) { r.Path += " " }, func(r *Request) { r.Query, r.HasQuery = "MARKED QUERY", true }, func(r *Request) { r.Method = "MARKED METHOD" },
			func(r *Request) { r.Header = r.Header.Clone(); r.Header.Set("TTL", "MARKED\n") }, func(r *Request) { r.Authority = "MARKED/" },
			func(r *Request) { r.Header = r.Header.Clone(); r.Header.Set("Signature", "MARKED=:x:") },
		} {
			r := r
			change(&r)
			_, err := NewVerifier(Config{Now: at(noon)}).Verify(r, find)
			if err == nil || strings.Contains(err.Error(), "MARKED") {
				t.Errorf("%v", err)
			}
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if s := fmt.Sprintf(format, r); s != redacted {
				t.Errorf("%s of a Request: %s", format, s)
			}
		}
	}
}
