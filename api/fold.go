package api

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"sync"
)

// maxLines is more than net/http reads of a header, which it bounds, and of what comes in the same read.
const maxLines = maxHeaderBytes + 16<<10

// watched is a connection of HTTP/1.1 whose header lines are looked at, beside net/http.
type watched struct {
	*tls.Conn
	lines lines
}

// Read implements net.Conn.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.lines.note(b[:n])
	return n, err
}

// lines finds folded header lines (RFC 9112, section 5.2: obs-fold), which net/http makes one of without a word: what
// stands between client and service may have read them as two. HTTP/2 cannot have any.
//
//	│ request line, header lines, empty line │ body │ request line, …
//	begin                             the handler knows its length
//
// It is safe for concurrent use: net/http reads on while a handler runs.
type lines struct {
	mu   sync.Mutex
	read []byte // from the begin of a header on
	skip int64  // of a body that is yet to be read
	lost bool   // where the next header begins is not known
}

func (l *lines) note(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	skipped := min(l.skip, int64(len(b)))
	l.skip -= skipped
	if b = b[skipped:]; len(b) == 0 || l.lost {
		return
	}
	if len(l.read)+len(b) > maxLines {
		l.lost, l.read = true, nil
		return
	}
	l.read = append(l.read, b...)
}

// folded tells whether the header of r, which is the next, has a folded line. It is called once for each request. It fails
// closed: a header whose begin or end is not known has one.
func (l *lines) folded(r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = bytes.TrimLeft(l.read, "\r\n") // before a request line, where net/http passes over them or ends the connection
	end := headerEnd(l.read)
	if l.lost || end < 0 {
		l.lost, l.read = true, nil
		return true
	}
	header, rest := l.read[:end], l.read[end:]
	folded := bytes.Contains(header, []byte("\n ")) || bytes.Contains(header, []byte("\n\t"))
	body := r.ContentLength
	if body < 0 { // chunked: it has been parsed by nobody yet
		l.lost, l.read = true, nil
		return folded
	}
	here := min(body, int64(len(rest)))
	l.skip = body - here
	l.read = l.read[:copy(l.read, rest[here:])]
	return folded
}

// again tells whether the next header could be looked at, too.
func (l *lines) again() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lost
}

// headerEnd is where the empty line after a header ends; -1 where there is none. net/http takes LF for CR LF.
func headerEnd(b []byte) int {
	for from := 0; ; {
		at := bytes.IndexByte(b[from:], '\n')
		if at < 0 {
			return -1
		}
		from += at + 1
		switch {
		case bytes.HasPrefix(b[from:], []byte("\n")):
			return from + 1
		case bytes.HasPrefix(b[from:], []byte("\r\n")):
			return from + 2
		}
	}
}

// unfolded refuses a request with a folded header line. After one of HTTP/1.1 whose body is of unknown length, the connection
// is closed.
func (x *exchange) unfolded() error {
	c, ok := x.r.Context().Value(connectionKey{}).(*connection)
	if !ok || c.lines == nil {
		return nil
	}
	folded := c.lines.folded(x.r)
	if !c.lines.again() {
		x.w.Header().Set("Connection", "close")
	}
	if folded {
		return errFolded
	}
	return nil
}
