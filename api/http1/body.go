package http1

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
)

// discardBytes is how much of a body that the handler has left unread is read for the connection to be kept.
const discardBytes = 256 << 10

// body is that of a request.
type body struct {
	c      *conn
	chunks io.Reader // of a chunked body
	left   int64     // bytes to come, of one whose length is known
	expect bool      // the client waits for 100 Continue
	timed  bool      // the read deadline is this body's
	ended  atomic.Bool
	err    error // what was returned last
}

// begin makes it the body of r.
func (b *body) begin(r *http.Request) {
	b.chunks, b.left, b.timed, b.err = nil, r.ContentLength, false, nil
	b.ended.Store(b.left == 0)
	b.expect = b.left != 0 && r.ProtoMinor > 0 && len(r.Header["Expect"]) > 0
	switch {
	case b.left == 0:
		r.Body = http.NoBody
		return
	case b.left < 0:
		b.chunks = httputil.NewChunkedReader(raw{b})
	}
	r.Body = b
}

// ends tells whether the next request can be found behind it without reading too much.
func (b *body) ends() bool {
	return b.ended.Load() || b.chunks == nil && !b.expect && b.err == nil && b.left <= discardBytes
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.chunks != nil {
		n, b.err = b.chunks.Read(p)
	} else {
		n, b.err = raw{b}.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		switch {
		case b.left == 0:
			b.err = io.EOF
		case errors.Is(b.err, io.EOF):
			b.err = io.ErrUnexpectedEOF
		}
	}
	if b.err == io.EOF {
		b.ended.Store(true)
	}
	return n, b.err
}

// Close implements io.Closer.
func (*body) Close() error { return nil }

// raw is what has been read of the connection, and then what comes.
type raw struct{ *body }

// Read implements io.Reader.
func (b raw) Read(p []byte) (int, error) {
	in := &b.c.work.in
	if n := copy(p, in.unread()); n > 0 {
		in.use(n)
		return n, nil
	}
	if !b.timed {
		b.timed = true
		if err := b.c.readUntil(b.c.began.Add(b.c.server.config.ReadTimeout)); err != nil {
			return 0, err
		}
	}
	if b.expect && b.c.reply.status == 0 { // otherwise it would be in the middle of the answer
		b.expect = false
		if err := b.c.reply.proceed(); err != nil {
			return 0, err
		}
	}
	return b.c.tls.Read(p)
}
