package api

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// The largest buffers, in bytes, that are allocated for a body before any of the body has arrived. The buffer grows with the
// bytes that arrive, so announcing a large body takes only its share of the budget.
const (
	maxInitialBuffer     = 64 << 10
	initialChunkedBuffer = 8 << 10 // for a body of unknown length
)

// readBody reads a value of 1 to limit bytes. A body that is announced as larger is not read. The memory for the value is
// reserved before the body is read: all of it if the length is announced, otherwise in steps.
func (rs *requestState) readBody(limit int64) ([]byte, error) {
	length := rs.r.ContentLength
	if length > limit {
		return nil, tooLarge(limit)
	}
	if length == 0 {
		return nil, errEmptyValue
	}
	data, err := rs.readAll(http.MaxBytesReader(rs.w, rs.r.Body, limit), length, limit)
	var tooLong *http.MaxBytesError
	var refused *problemError
	switch {
	case errors.As(err, &tooLong):
		return nil, tooLarge(limit)
	case errors.As(err, &refused):
		return nil, withoutBody(refused)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	case err != nil:
		return nil, errIncompleteBody
	case len(data) == 0:
		return nil, errEmptyValue
	}
	return data, rs.checkBody(data)
}

// readAll reads a body of at most limit bytes to its end. length is the announced length in bytes, or -1. It allocates
// nothing that the request does not hold.
func (rs *requestState) readAll(body io.Reader, length, limit int64) ([]byte, error) {
	most, size := length, min(length, maxInitialBuffer)
	if length < 0 {
		most, size = limit, min(limit, initialChunkedBuffer)
	}
	if err := rs.hold(SetCopies * max(size, length)); err != nil {
		return nil, err
	}
	if length < 0 || length > paceBytes {
		p := newBodyPace(rs.w, body, rs.api.paceInterval, rs.api.config.Panics)
		defer p.stop()
		body = p
	}
	b := make([]byte, 0, size+1) // one byte more, so that the end can be read
	for {
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) < cap(b) {
			continue
		}
		size = min(2*size, most)
		if err := rs.hold(SetCopies * max(size, length)); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size+1), b...)
	}
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
