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

// BenchmarkReply is of the header of an answer to a get.
func BenchmarkReply(b *testing.B) {
	c := &conn{server: NewServer(Config{})}
	c.reply.c, c.body.c, c.reply.header = c, c, make(http.Header)
	c.body.ended.Store(true)
	fields := map[string][]string{
		"Cache-Control": {"no-store"}, "Content-Length": {"2048"}, "Content-Type": {"application/octet-stream"}, "Ttl": {"86399"}, "X-Content-Type-Options": {"nosniff"},
	}
	b.ReportAllocs()
	for b.Loop() {
		c.reply.begin(false, false)
		for name, value := range fields {
			c.reply.header[name] = value
		}
		c.reply.WriteHeader(http.StatusOK)
		c.server.putOut(c.reply.block)
	}
}
