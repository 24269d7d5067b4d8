package http1

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"
)

// recordBytes is the most that a TLS record holds (RFC 8446, section 5.1).
const recordBytes = 16 << 10

// reply is an http.ResponseWriter. An answer that fits into a TLS record is written as one, when the handler has returned.
// One whose handler has not told its length waits for the handler, whatever its size.
type reply struct {
	c      *conn
	header http.Header
	head   bool   // the request was HEAD, whose answer has no body
	close  bool   // the connection, after it
	status int    // 0 until the header has been written
	out    []byte // not sent yet
	block  *[]byte
	length int64 // of the body; -1 where the handler has not told
	got    int64 // of the body, from the handler
	held   []byte
	timed  bool  // the write deadline is this answer's
	err    error // of the connection
}

// begin makes it the answer to r.
func (w *reply) begin(head, close bool) {
	clear(w.header)
	w.head, w.close = head, close
	w.status, w.length, w.got, w.held, w.timed, w.err = 0, 0, 0, nil, false, nil
}

// Header implements http.ResponseWriter.
func (w *reply) Header() http.Header { return w.header }

// bare tells whether the answer has no body whatever is written.
func (w *reply) bare() bool {
	return w.head || w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// WriteHeader implements http.ResponseWriter. The first call counts.
func (w *reply) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.length = status, -1
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil {
			w.length = n
		}
	}
	w.close = w.close || httpguts.HeaderValuesContainsToken(w.header["Connection"], "close") || !w.c.body.ends() || w.c.isStopping()
	w.block = w.c.server.takeOut()
	w.out = append((*w.block)[:0], "HTTP/1.1 "...)
	w.out = strconv.AppendInt(w.out, int64(status), 10)
	w.out = append(w.out, ' ')
	w.out = append(w.out, http.StatusText(status)...)
	w.out = append(w.out, "\r\n"...)
	w.fields()
	if w.length >= 0 || w.bare() {
		w.out = append(w.out, "\r\n"...)
	}
}

// fields appends the header lines, but for the length where it is not known yet.
func (w *reply) fields() {
	var few [16]string
	names := few[:0]
	for name := range w.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "Connection" || name == "Transfer-Encoding" || name == "Content-Length" && (w.length < 0 || w.status == http.StatusNoContent) {
			continue
		}
		for _, value := range w.header[name] {
			w.field(name, value)
		}
	}
	if _, set := w.header["Date"]; !set {
		w.out = append(w.out, w.c.server.dateLine(time.Now())...)
	}
	if w.close {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
}

// field appends a header line. It fails closed: what is no header line is left out, so that no value can end one.
func (w *reply) field(name, value string) {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return
	}
	w.out = append(w.out, name...)
	w.out = append(w.out, ": "...)
	w.out = append(w.out, value...)
	w.out = append(w.out, "\r\n"...)
}

// Write implements http.ResponseWriter.
func (w *reply) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.got += int64(len(p))
	switch {
	case w.head:
	case w.bare():
		return 0, http.ErrBodyNotAllowed
	case w.length < 0:
		w.held = append(w.held, p...)
	case w.got > w.length:
		w.got -= int64(len(p))
		return 0, http.ErrContentLength
	default:
		w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// finish sends what has not been sent.
func (w *reply) finish() {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.bare():
	case w.length < 0:
		w.field("Content-Length", strconv.Itoa(len(w.held)))
		w.out = append(w.out, "\r\n"...)
		w.send(w.held)
	case w.got < w.length: // the client must see that it was cut off
		w.close = true
	}
	w.flush()
	w.c.server.putOut(w.block)
	w.out, w.block, w.held = nil, nil, nil
}

// send puts p with what goes out, which is sent where it has become a record.
func (w *reply) send(p []byte) {
	for len(p) > recordBytes-len(w.out) {
		n := max(0, recordBytes-len(w.out))
		w.out = append(w.out, p[:n]...)
		w.flush()
		if p = p[n:]; len(p) >= recordBytes {
			w.write(p)
			return
		}
	}
	w.out = append(w.out, p...)
}

func (w *reply) flush() {
	w.write(w.out)
	w.out = w.out[:0]
}

// proceed tells a client to send the body that it has announced.
func (w *reply) proceed() error {
	w.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	w.timed = false // the answer comes later
	return w.err
}

// write writes p to the connection.
func (w *reply) write(p []byte) {
	if w.err == nil && !w.timed {
		w.timed = true
		w.err = w.c.writeFor(w.c.server.config.WriteTimeout)
	}
	if w.err == nil && len(p) > 0 {
		_, w.err = w.c.tls.Write(p)
	}
	if w.err != nil {
		w.close = true
	}
}

func (s *Server) takeOut() *[]byte {
	if b, ok := s.outs.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, recordBytes)
	return &b
}

func (s *Server) putOut(b *[]byte) { s.outs.Put(b) }

// date is a header line that is right for a second.
type date struct {
	second int64
	line   string
}

// dateLine is the one for now.
func (s *Server) dateLine(now time.Time) string {
	if d := s.today.Load(); d != nil && d.second == now.Unix() {
		return d.line
	}
	d := &date{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
	s.today.Store(d)
	return d.line
}
