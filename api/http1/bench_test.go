package http1

import (
	"net/http"
	"testing"
)

// BenchmarkParse is of a header as MediaWiki's client sends it.
func BenchmarkParse(b *testing.B) {
	head := "GET /sessions/v1/enwiki%3AMWSession%3A0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: userinfo.example:8443\r\n" +
		"User-Agent: MediaWiki/1.43 MultiHttpClient\r\nAccept: */*\r\nAuthorization: Bearer userinfo_0123456789abcdef0123456789abcdef\r\nContent-Length: 0\r\n\r\n"
	r := &http.Request{Header: make(http.Header)}
	var values []string
	b.ReportAllocs()
	for b.Loop() {
		var no *refusal
		if values, no = parse(r, head, values[:0]); no != nil {
			b.Fatal(no)
		}
	}
}
