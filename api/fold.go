package api

import (
	"bytes"
	"net/http"
	"sync"
)

// maxAhead is more than net/http reads beyond the end of a header before it gives the request to the handler: a buffer of
// 4 KiB, and a byte.
const maxAhead = 16 << 10

// lines finds folded header lines (RFC 9112, section 5.2: obs-fold), which net/http makes one of without a word: what
// stands between client and service may have read them as two. HTTP/2 cannot have any.
//
//	│ request line, header lines, empty line │ body │ request line, …
//	begin                                  ended    the handler knows its length
//
// Lines are looked at as they are read, and only what has been read beyond the end of a header is kept, until the handler
// has told how much of it is body.
//
// It is safe for concurrent use: net/http reads on while a handler runs.
type lines struct {
	mu    sync.Mutex
	at    place
	stray bool   // line ends have been read at begin
	fold  bool   // the header that is being read, or has been, has a folded line
	ahead []byte // read after the end of a header of which the handler does not know yet
	skip  int64  // of a body that is yet to be read
	lost  bool   // where the next header begins is not known
}

// place is where in a header the next byte will be.
type place uint8

const (
	begin       place = iota // before a request line, where net/http passes over line ends or ends the connection
	inside                   // of a line
	lineStart                // after LF, which net/http takes for CR LF
	lineStartCR              // after LF CR
	ended                    // after the empty line
)

// note sees what was read.
func (l *lines) note(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	skipped := min(l.skip, int64(len(b)))
	l.skip -= skipped
	if b = b[skipped:]; l.lost {
		return
	}
	if b = l.header(b); len(b) == 0 {
		return
	}
	if len(l.ahead)+len(b) > maxAhead {
		l.lose()
		return
	}
	l.ahead = append(l.ahead, b...)
}

// header looks at what b has of a header, and returns what comes after its end.
func (l *lines) header(b []byte) []byte {
	for len(b) > 0 && l.at != ended {
		c := b[0]
		switch {
		case l.at == begin && (c == '\r' || c == '\n'):
			l.stray = true
		case l.at == lineStart && c == '\r':
			l.at = lineStartCR
		case (l.at == lineStart || l.at == lineStartCR) && c == '\n':
			l.at = ended
		default:
			if l.at == lineStart && (c == ' ' || c == '\t') {
				l.fold = true
			}
			l.at = inside
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				return nil
			}
			b, l.at = b[end:], lineStart
		}
		b = b[1:]
	}
	return b
}

// folded tells whether the header of r, which is the next, has a folded line. It is called once for each request. It fails
// closed: a header whose begin or end is not known has one.
func (l *lines) folded(r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost || l.at != ended {
		l.lose()
		return true
	}
	folded := l.fold
	body := r.ContentLength
	if body < 0 { // chunked: it has been parsed by nobody yet
		l.lose()
		return folded
	}
	l.at, l.fold, l.stray = begin, false, false
	here := min(body, int64(len(l.ahead)))
	l.skip = body - here
	if rest := l.header(l.ahead[here:]); len(rest) > 0 {
		l.ahead = l.ahead[:copy(l.ahead, rest)]
	} else {
		l.ahead = nil // an idle connection keeps nothing
	}
	return folded
}

func (l *lines) lose() { l.lost, l.ahead = true, nil }

// none tells whether nothing has been read since the last request.
func (l *lines) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at == begin && !l.stray && l.skip == 0 && !l.lost
}

// again tells whether the next header could be looked at, too.
func (l *lines) again() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lost
}

// unfolded refuses a request with a folded header line. After one of HTTP/1.1 whose body is of unknown length, the connection
// is closed.
func (x *exchange) unfolded() error {
	if x.conn == nil || x.conn.lines == nil {
		return nil
	}
	folded := x.conn.lines.folded(x.r)
	if !x.conn.lines.again() {
		x.w.Header().Set("Connection", "close")
	}
	if folded {
		return errFolded
	}
	return nil
}
