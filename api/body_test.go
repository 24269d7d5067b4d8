package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"userinfo/access"
)

func TestReadBody_Empty(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, method := range []string{"PUT", "POST"} {
			for how, body := range map[string]io.Reader{"no body": nil, "of length 0": http.NoBody, "of unknown length": io.MultiReader()} {
				got := s.must(t, c, ask{method: method, path: "/sessions/v1/k", body: body})
				if checkProblem(t, got, 400, "bad-request"); !strings.Contains(got.body, "empty") {
					t.Errorf("%s %s, %s: %s", protocol, method, how, got.body)
				}
			}
		}
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestReadBody_Limit(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		for _, method := range []string{"PUT", "POST"} {
			for _, chunked := range []bool{false, true} {
				for _, size := range []int{testMaxValue, testMaxValue + 1} {
					c := s.client(t, protocol)
					a := ask{method: method, path: "/sessions/v1/k", body: bytes.NewReader(make([]byte, size))}
					if chunked {
						a.body = io.MultiReader(a.body)
					}
					got, calls := s.must(t, c, a), len(r.take())
					if size > testMaxValue {
						checkProblem(t, got, 413, "value-too-large")
					}
					if fits := size <= testMaxValue; (got.status < 300) != fits || (calls == 1) != fits {
						t.Errorf("%s %s, chunked %v, %d bytes: %d, %d calls", protocol, method, chunked, size, got.status, calls)
					}
				}
			}
		}
	}
}

func TestReadBody_AnnouncedTooLarge(t *testing.T) {
	s := start(t, setup{})
	for _, expect := range []string{"", "Expect: 100-continue"} {
		w := s.wire(t)
		fields := []string{fmt.Sprintf("Content-Length: %d", testMaxValue+1)}
		if expect != "" {
			fields = append(fields, expect)
		}
		w.send(t, head("PUT", "/sessions/v1/k", fields...)+"\r\n") // and not a byte of the body
		got := w.answer(t, "PUT")
		if checkProblem(t, got, 413, "value-too-large"); !got.close {
			t.Errorf("%q: the connection is kept, although the body was not read", expect)
		}
		w.closed(t)
	}
	pr, pw := io.Pipe() // for HTTP/2; nothing is written to it
	defer func() { _ = pw.Close() }()
	a := ask{method: "PUT", path: "/sessions/v1/k", body: pr}
	r := a.request(s)
	r.ContentLength = testMaxValue + 1
	res, err := s.client(t, protocols[1]).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	checkProblem(t, got, 413, "value-too-large")
}

// zeros is an endless body. It counts the bytes that were read.
type zeros struct{ taken atomic.Int64 }

func (z *zeros) Read(p []byte) (int, error) {
	z.taken.Add(int64(len(p)))
	clear(p)
	return len(p), nil
}

func TestReadBody_Endless(t *testing.T) {
	s := start(t, setup{})
	// Buffers and the flow control of HTTP/2 hold bytes that the handler has not read.
	const slack = 16 << 20
	for _, protocol := range protocols {
		var body zeros
		got := s.must(t, s.client(t, protocol), ask{method: "PUT", path: "/sessions/v1/k", body: &body})
		checkProblem(t, got, 413, "value-too-large")
		if taken := body.taken.Load(); taken > testMaxValue+slack {
			t.Errorf("%s: %d bytes were read", protocol, taken)
		}
	}
}

func TestReadBody_SendsContinue(t *testing.T) {
	s := start(t, setup{})
	for _, test := range []struct {
		name, method, path, token string
		fields                    []string
		status                    int
		wanted                    bool
	}{
		{name: "a value", method: "PUT", path: "/sessions/v1/k", status: 204, wanted: true},
		{name: "a value by POST", method: "POST", path: "/sessions/v1/k", status: 201, wanted: true},
		{name: "a bad TTL", method: "PUT", path: "/sessions/v1/k", fields: []string{"TTL: 0"}, status: 400},
		{name: "a key too long", method: "PUT", path: "/sessions/v1/" + strings.Repeat("k", MaxKeyBytes+1), status: 414},
		{name: "a query", method: "PUT", path: "/sessions/v1/k?x", status: 400},
		{name: "no such path", method: "PUT", path: "/nowhere", status: 404},
		{name: "no such method", method: "BREW", path: "/sessions/v1/k", status: 405},
		{name: "a body that PATCH does not have", method: "PATCH", path: "/sessions/v1/k", fields: []string{"TTL: 7"}, status: 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.wire(t)
			w.send(t, head(test.method, test.path, append(test.fields, "Content-Length: 5", "Expect: 100-continue")...)+"\r\n")
			got := w.answer(t, test.method)
			if (got.status == 100) != test.wanted {
				t.Fatalf("the first answer is %d", got.status)
			}
			if test.wanted {
				w.send(t, "value")
				got = w.answer(t, test.method)
			}
			if got.status != test.status || got.close == test.wanted {
				t.Errorf("%d, close %v; want %d", got.status, got.close, test.status)
			}
		})
	}
}

func TestRequireNoBody_Body(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, method := range []string{"GET", "DELETE", "PATCH"} {
			for _, chunked := range []bool{false, true} {
				var body io.Reader = strings.NewReader("body")
				if chunked {
					body = io.MultiReader(body)
				}
				got := s.must(t, c, ask{method: method, path: "/sessions/v1/k", header: as(wiki, "TTL", "7"), body: body})
				checkProblem(t, got, 400, "bad-request")
			}
		}
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestRequireNoBody_EmptyBody(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for method, status := range map[string]int{"GET": 200, "DELETE": 204, "PATCH": 204} {
		// MediaWiki sends Content-Length: 0 with every request.
		for framing, rest := range map[string]string{"Content-Length: 0": "", "Transfer-Encoding: chunked": "0\r\n\r\n"} {
			w := s.wire(t) // a connection is closed after a body of unknown length
			w.send(t, head(method, "/sessions/v1/k", "TTL: 7", framing)+"\r\n"+rest)
			if got := w.answer(t, method); got.status != status || len(r.take()) != 1 || got.close != (rest != "") {
				t.Errorf("%s with %s: %d; want %d and one call", method, framing, got.status, status)
			}
		}
		got := s.must(t, s.client(t, protocols[1]), ask{method: method, path: "/sessions/v1/k", header: as(wiki, "TTL", "7"), body: io.MultiReader()})
		if got.status != status || len(r.take()) != 1 {
			t.Errorf("HTTP/2 %s with an empty body of unknown length: %d", method, got.status)
		}
	}
}

func TestReadBody_RefusedBodyIsNotARequest(t *testing.T) {
	s := start(t, setup{})
	smuggled := head("DELETE", "/sessions/v1/victim") + "\r\n"
	c := s.client(t, protocols[0])
	s.must(t, c, put("victim", "value"))
	for _, test := range []string{
		head("GET", "/sessions/v1/k", fmt.Sprintf("Content-Length: %d", len(smuggled))) + "\r\n" + smuggled,
		head("PUT", "/sessions/v1/k", "TTL: 0", fmt.Sprintf("Content-Length: %d", len(smuggled))) + "\r\n" + smuggled,
		head("PUT", "/nowhere", fmt.Sprintf("Content-Length: %d", len(smuggled))) + "\r\n" + smuggled,
		head("PATCH", "/sessions/v1/k", "TTL: 7", "Transfer-Encoding: chunked") + fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
	} {
		w := s.wire(t)
		w.send(t, test+head("GET", "/sessions/v1/victim", "Connection: close")+"\r\n")
		if got := w.answer(t, "GET"); got.status != 400 && got.status != 404 {
			t.Errorf("%.40q: %d", test, got.status)
		}
		w.closed(t)
		if got := s.must(t, c, get("victim")); got.status != 200 {
			t.Fatalf("%.40q: the body was served as a request: status %d", test, got.status)
		}
	}
}

func TestReadAll_AllocatesAsBodyArrives(t *testing.T) {
	a := newAPI(t, setup{}).api
	limits := a.limiter.client(access.Identity{}, time.Now())
	const rounds = 100 // makes other allocations insignificant
	for _, sent := range []int{1, maxInitialBuffer} {
		bodies := make([]requestState, rounds)
		for i := range bodies {
			r := httptest.NewRequest("PUT", "/sessions/v1/k", io.MultiReader(strings.NewReader(strings.Repeat("v", sent)), iotest.ErrReader(io.ErrUnexpectedEOF)))
			r.ContentLength = testMaxValue
			bodies[i] = requestState{api: a, w: httptest.NewRecorder(), r: r, limits: limits}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range bodies {
			if _, err := bodies[i].readBody(testMaxValue); err == nil {
				t.Fatal("an incomplete body was accepted")
			}
		}
		runtime.ReadMemStats(&after)
		room := int(after.TotalAlloc-before.TotalAlloc) / rounds
		// A buffer that doubles in size allocates less than four times its length. The race detector doubles that.
		if most := 2*(maxInitialBuffer+4*sent) + 32<<10; room > most {
			t.Errorf("after %d bytes of %d announced ones, %d bytes were allocated; want at most %d", sent, testMaxValue, room, most)
		}
	}
}

func TestReadBody_Incomplete(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, text := range []string{
		head("PUT", "/sessions/v1/k", "Content-Length: 100") + "\r\nabc",
		head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n",
		head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\nzz\r\nabc\r\n",
	} {
		w := s.wire(t)
		w.send(t, text)
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		checkProblem(t, w.answer(t, "PUT"), 400, "bad-request")
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}
