package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// answer is the head of an HTTP/1.1 response (RFC 9112):
//
//	HTTP/1.1 200 OK CRLF
//	name: value CRLF …      of which Content-Length, Transfer-Encoding and Connection matter here
//	CRLF
//	body                    Content-Length bytes, or chunks, or nothing after 204 and 304
type answer struct {
	status  int
	length  int64 // of the body; -1 where it comes in chunks
	closing bool  // the server closes the connection after it
}

// Bounds of a response, beyond which it is none.
const (
	mostHeaders = 100
	mostBody    = 1 << 30
)

var (
	errStatusLine = errors.New("the answer does not begin with an HTTP/1.1 status line")
	errHeader     = errors.New("the answer has a header line that is none")
	errLength     = errors.New("the answer's Content-Length is no number below 1 GiB, or there are several that differ")
	errCoding     = errors.New("the answer has a Transfer-Encoding that is not chunked, or a Content-Length beside it")
	errUnframed   = errors.New("the answer has neither Content-Length nor chunks")
	errChunk      = errors.New("the answer has a chunk without a proper size or end")
	errTooMany    = errors.New("the answer has more than 100 header or trailer lines")
)

// readAnswer reads one response whole and leaves r after it. Interim responses (1xx) are passed over. It allocates
// nothing unless it fails.
func readAnswer(r *bufio.Reader) (answer, error) {
	for interim := 0; ; interim++ {
		a, err := readHead(r)
		if err != nil {
			return a, err
		}
		if a.status >= 200 {
			return a, discardBody(r, &a)
		}
		if interim == mostHeaders {
			return a, errTooMany
		}
	}
}

func readHead(r *bufio.Reader) (answer, error) {
	line, err := readLine(r)
	if err != nil {
		return answer{}, err
	}
	a := answer{length: -1}
	var chunked, sized bool
	if a.status = statusOf(line); a.status == 0 {
		return a, errStatusLine
	}
	for range mostHeaders {
		line, err := readLine(r)
		if err != nil {
			return a, cut(err)
		}
		if len(line) == 0 {
			return a, a.frame(chunked, sized)
		}
		name, value, ok := bytes.Cut(line, colon)
		if !ok || len(name) == 0 || name[len(name)-1] == ' ' || name[0] == ' ' || name[0] == '\t' {
			return a, errHeader
		}
		value = bytes.Trim(value, " \t")
		switch {
		case len(name) == 14 && bytes.EqualFold(name, contentLength):
			n, ok := number(value, 10)
			if !ok || sized && n != a.length {
				return a, errLength
			}
			a.length, sized = n, true
		case len(name) == 17 && bytes.EqualFold(name, transferEncoding):
			if chunked || !bytes.EqualFold(value, chunkedWord) {
				return a, errCoding
			}
			chunked = true
		case len(name) == 10 && bytes.EqualFold(name, connectionWord):
			a.closing = a.closing || bytes.EqualFold(value, closeWord)
		}
	}
	return a, errTooMany
}

var (
	colon            = []byte(":")
	contentLength    = []byte("Content-Length")
	transferEncoding = []byte("Transfer-Encoding")
	connectionWord   = []byte("Connection")
	chunkedWord      = []byte("chunked")
	closeWord        = []byte("close")
	version          = []byte("HTTP/1.1 ")
)

// frame settles where the body ends.
func (a *answer) frame(chunked, sized bool) error {
	switch {
	case a.status < 200 || a.status == 204 || a.status == 304:
		a.length = 0
	case chunked && sized:
		return errCoding // which of them holds is a matter of taste, and of attacks
	case !chunked && !sized:
		return errUnframed
	}
	return nil
}

func discardBody(r *bufio.Reader, a *answer) error {
	if a.length >= 0 {
		_, err := r.Discard(int(a.length))
		return cut(err)
	}
	a.length = 0
	for {
		line, err := readLine(r)
		if err != nil {
			return cut(err)
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, ok := number(bytes.TrimRight(size, " \t"), 16)
		if !ok || a.length+n >= mostBody {
			return errChunk
		}
		if n == 0 {
			return discardTrailers(r)
		}
		a.length += n
		if _, err := r.Discard(int(n)); err != nil {
			return cut(err)
		}
		if line, err = readLine(r); err != nil {
			return cut(err)
		}
		if len(line) != 0 {
			return errChunk
		}
	}
}

func discardTrailers(r *bufio.Reader) error {
	for range mostHeaders {
		line, err := readLine(r)
		if err != nil {
			return cut(err)
		}
		if len(line) == 0 {
			return nil
		}
	}
	return errTooMany
}

// readLine returns a line without its CRLF or LF, until the next read. A line longer than r's buffer is an error.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("the answer has a line of more than %d bytes", r.Size())
		}
		if len(line) > 0 {
			err = cut(err)
		}
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// cut tells an answer that was cut off from a connection that was closed before there was any.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// statusOf is the status of a status line, 0 where it is none.
func statusOf(line []byte) int {
	rest, ok := bytes.CutPrefix(line, version)
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return 0
	}
	status := 0
	for _, c := range rest[:3] {
		if c < '0' || c > '9' {
			return 0
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 {
		return 0
	}
	return status
}

// number is of digits alone, less than mostBody.
func number(text []byte, base int64) (n int64, ok bool) {
	for _, c := range text {
		digit := int64(-1)
		switch {
		case c >= '0' && c <= '9':
			digit = int64(c - '0')
		case c >= 'a' && c <= 'f':
			digit = int64(c-'a') + 10
		case c >= 'A' && c <= 'F':
			digit = int64(c-'A') + 10
		}
		if digit < 0 || digit >= base {
			return 0, false
		}
		if n = n*base + digit; n >= mostBody {
			return 0, false
		}
	}
	return n, len(text) > 0
}
