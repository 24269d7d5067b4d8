package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
)

// maxInitialBuffer is the largest buffer, in bytes, that is allocated for a body before any of the body has arrived. The
// buffer grows with the bytes that arrive, so announcing a large body costs the service nothing.
const maxInitialBuffer = 64 << 10

// readBody reads a value of 1 to limit bytes. A body that is announced as larger is not read.
func (rs *requestState) readBody(limit int64) ([]byte, error) {
	length := rs.r.ContentLength
	if length > limit {
		return nil, tooLarge(limit)
	}
	if length == 0 {
		return nil, errEmptyValue
	}
	data, err := readAll(http.MaxBytesReader(rs.w, rs.r.Body, limit), length)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	case err != nil:
		return nil, errIncompleteBody
	case len(data) == 0:
		return nil, errEmptyValue
	}
	return data, rs.checkBody(data)
}

// readAll reads a body to its end. length is the announced length in bytes, or -1.
func readAll(body io.Reader, length int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), maxInitialBuffer)) + bytes.MinRead)
	_, err := b.ReadFrom(body)
	return b.Bytes(), err
}

// requireNoBody refuses a request that has a body. A chunked body without any byte is not a body.
func (rs *requestState) requireNoBody() error {
	if rs.r.ContentLength == 0 {
		return nil
	}
	if rs.r.ContentLength < 0 {
		n, err := io.ReadFull(rs.r.Body, make([]byte, 1))
		if n == 0 && errors.Is(err, io.EOF) {
			return rs.checkBody(nil)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errSlowBody
		}
	}
	return badRequest("A " + rs.r.Method + " has no body here. Send none.")
}
