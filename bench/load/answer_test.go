package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAnAnswerIsReadToItsEndAndNoFurther(t *testing.T) {
	const next = "HTTP/1.1 204 No Content\r\n\r\n"
	for name, c := range map[string]struct {
		text string
		want answer
	}{
		"a body of so many bytes":         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue", answer{200, 5, false}},
		"no body":                         {"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", answer{404, 0, false}},
		"204 has none, whatever it says":  {"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", answer{204, 0, false}},
		"the server closes":               {"HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", answer{503, 1, true}},
		"no reason phrase":                {"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", answer{200, 1, false}},
		"lines that end in LF":            {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", answer{200, 1, false}},
		"chunks":                          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nval\r\n2;x=y\r\nue\r\n0\r\n\r\n", answer{200, 5, false}},
		"chunks and a trailer":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n", answer{200, 10, false}},
		"an interim response first":       {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", answer{201, 0, false}},
		"the same length twice":           {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", answer{200, 1, false}},
		"a body longer than the buffer":   {"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("v", 9000), answer{200, 9000, false}},
		"headers that do not matter here": {"HTTP/1.1 200 OK\r\nTTL: 5\r\nX-Empty:\r\nContent-Length: 1\r\n\r\nx", answer{200, 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(c.text + next))
			got, err := readAnswer(r)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
			if got, err := readAnswer(r); err != nil || got.status != 204 {
				t.Fatalf("the next answer: %+v, %v", got, err)
			}
		})
	}
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	many := strings.Repeat("X: y\r\n", mostHeaders+1)
	for name, c := range map[string]struct {
		text string
		want error // nil: any
	}{
		"nothing":                    {"", io.EOF},
		"a part of a status line":    {"HTTP/1.1 20", io.ErrUnexpectedEOF},
		"a part of the headers":      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n", io.ErrUnexpectedEOF},
		"a part of the body":         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nval", io.ErrUnexpectedEOF},
		"a part of a chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nva", io.ErrUnexpectedEOF},
		"no last chunk":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n", io.ErrUnexpectedEOF},
		"another protocol":           {"SSH-2.0-x\r\n\r\n", errStatusLine},
		"HTTP/1.0":                   {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", errStatusLine},
		"a status of two digits":     {"HTTP/1.1 99 x\r\nContent-Length: 0\r\n\r\n", errStatusLine},
		"a status below 100":         {"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", errStatusLine},
		"a body without an end":      {"HTTP/1.1 200 OK\r\n\r\nvalue", errUnframed},
		"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", errLength},
		"a length less than nothing": {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", errLength},
		"a length beyond a GiB":      {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", errLength},
		"length and chunks":          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errCoding},
		"another coding":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", errCoding},
		"a chunk without size":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", errChunk},
		"a chunk that is too long":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nvvv\r\n", errChunk},
		"a header without colon":     {"HTTP/1.1 200 OK\r\nwhat\r\n\r\n", errHeader},
		"a folded header":            {"HTTP/1.1 200 OK\r\nX: y\r\n z: w\r\n\r\n", errHeader},
		"too many headers":           {"HTTP/1.1 200 OK\r\n" + many + "\r\n", errTooMany},
		"interim responses for ever": {strings.Repeat("HTTP/1.1 100 x\r\n\r\n", mostHeaders+1), errTooMany},
		"a line without end":         {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", mostLine), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAnswer(bufio.NewReaderSize(strings.NewReader(c.text), mostLine))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %+v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// FuzzAnswer holds the parser against net/http's: what both take is the same answer, and ends at the same byte.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue",
		"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nrest",
		"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}rest",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nval\r\n2;x=y\r\nue\r\n0\r\nX: y\r\n\r\nrest",
		"HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ours := bufio.NewReaderSize(bytes.NewReader(text), mostLine)
		got, err := readAnswer(ours)
		if err != nil {
			return
		}
		theirs := bufio.NewReaderSize(bytes.NewReader(text), mostLine)
		want, err := http.ReadResponse(theirs, nil)
		for err == nil && want.StatusCode < 200 {
			want, err = http.ReadResponse(theirs, nil)
		}
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, want.Body)
		if err != nil {
			return
		}
		if got.status != want.StatusCode || got.length != n {
			t.Errorf("got %+v; net/http reads status %d and %d bytes", got, want.StatusCode, n)
		}
		left, _ := io.ReadAll(ours) // of bytes in memory
		leftToo, _ := io.ReadAll(theirs)
		if !bytes.Equal(left, leftToo) {
			t.Errorf("%d bytes are left after the answer, and %d by net/http", len(left), len(leftToo))
		}
	})
}
