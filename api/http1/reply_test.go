package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// said is what the handler's answer to request is, byte for byte but for the date, when the connection is closed after it.
func said(t *testing.T, h http.HandlerFunc, request string) string {
	t.Helper()
	s := start(t, h)
	c := s.dial(t)
	c.send(t, request)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(c.rest(t), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	kept := lines[:0]
	for _, l := range lines {
		if value, ok := strings.CutPrefix(l, "Date: "); ok {
			if at, err := http.ParseTime(value); err != nil || time.Since(at).Abs() > time.Minute {
				t.Errorf("the date is %q", value)
			}
			continue
		}
		kept = append(kept, l)
	}
	return strings.Join(kept, "|") + "||" + body
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	get, last := ask("/"), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		request string
		want    string
	}{
		"nothing":  {func(w http.ResponseWriter, _ *http.Request) {}, get, "HTTP/1.1 200 OK|Content-Length: 0||"},
		"a status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, get, "HTTP/1.1 204 No Content||"},
		"the first status counts": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(100)
			w.WriteHeader(404)
			w.WriteHeader(200)
		}, get, "HTTP/1.1 404 Not Found|Content-Length: 0||"},
		"a body of unknown length": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			_, _ = io.WriteString(w, "b")
		}, get, "HTTP/1.1 200 OK|Content-Length: 2||ab"},
		"header lines in order": {func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["TTL"], h["A"], h["Content-Length"] = []string{"5"}, []string{"x", "y"}, []string{"1"}
			_, _ = io.WriteString(w, "v")
			h["Late"] = []string{"z"}
		}, get, "HTTP/1.1 200 OK|A: x|A: y|Content-Length: 1|TTL: 5||v"},
		"to HEAD": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"1"}
			_, _ = io.WriteString(w, "v")
		}, strings.Replace(get, "GET", "HEAD", 1), "HTTP/1.1 200 OK|Content-Length: 1||"},
		"no body to a 204": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"1"}
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "v"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, get, "HTTP/1.1 204 No Content||"},
		"more than was announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"1"}
			_, _ = io.WriteString(w, "v")
			if _, err := io.WriteString(w, "w"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}, get, "HTTP/1.1 200 OK|Content-Length: 1||v"},
		"less than was announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"5"}
			_, _ = io.WriteString(w, "v")
		}, get + get, "HTTP/1.1 200 OK|Content-Length: 5||v"},
		"values that would end a line": {func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["A"], h["B\r\nX"], h["C"] = []string{"b\r\nSet-Cookie: x", "b\nX: y", "c\x00"}, []string{"d"}, []string{"e"}
		}, get, "HTTP/1.1 200 OK|C: e|Content-Length: 0||"},
		"the framing is not the handler's": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Transfer-Encoding"] = []string{"chunked"}
			_, _ = io.WriteString(w, "v")
		}, get, "HTTP/1.1 200 OK|Content-Length: 1||v"},
		"closed by the client":  {func(w http.ResponseWriter, _ *http.Request) {}, last + get, "HTTP/1.1 200 OK|Connection: close|Content-Length: 0||"},
		"closed by the handler": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, get + get, "HTTP/1.1 200 OK|Connection: close|Content-Length: 0||"},
		"closed by HTTP/1.0":    {func(w http.ResponseWriter, _ *http.Request) {}, "GET / HTTP/1.0\r\n\r\n" + get, "HTTP/1.1 200 OK|Connection: close|Content-Length: 0||"},
	} {
		if got := said(t, test.handler, test.request); got != test.want {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}

func TestAnAnswerOfAnySizeComesWhole(t *testing.T) {
	for _, size := range []int{0, 1, recordBytes - 200, recordBytes, recordBytes + 1, 3*recordBytes + 5, 1 << 20} {
		for _, told := range []bool{false, true} {
			for _, piece := range []int{1000, recordBytes, 1 << 20} {
				value := strings.Repeat("v", size)
				s := start(t, func(w http.ResponseWriter, _ *http.Request) {
					if told {
						w.Header().Set("Content-Length", strconv.Itoa(size))
					}
					for left := value; left != ""; left = left[min(piece, len(left)):] {
						if _, err := io.WriteString(w, left[:min(piece, len(left))]); err != nil {
							t.Errorf("writing: %v", err)
						}
					}
				})
				c := s.dial(t)
				for range 2 {
					c.send(t, ask("/"))
					if _, got := c.answer(t); got != value {
						t.Errorf("%d bytes, told %v, in pieces of %d: %d bytes came", size, told, piece, len(got))
					}
				}
			}
		}
	}
}
