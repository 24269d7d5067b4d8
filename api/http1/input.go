package http1

import (
	"bytes"
	"io"
)

// bufferBytes is what an input begins with: room for the header of nearly every request.
const bufferBytes = 4 << 10

// input is what was read of a connection and has not been used.
//
//	buf   │ used │ unread          │ room │
//	      0      r        scanned  w
type input struct {
	buf     []byte
	r, w    int
	scanned int // no header ends before it
}

func (in *input) unread() []byte { return in.buf[in.r:in.w] }

func (in *input) use(n int) {
	in.r += n
	in.scanned = max(in.scanned, in.r)
}

// fill reads once.
func (in *input) fill(from io.Reader) (int, error) {
	switch {
	case in.r == in.w:
		in.r, in.w, in.scanned = 0, 0, 0
	case in.w < len(in.buf):
	case in.r > 0:
		in.w = copy(in.buf, in.unread())
		in.scanned -= in.r
		in.r = 0
	default:
		in.buf = append(in.buf, make([]byte, len(in.buf))...)
	}
	n, err := from.Read(in.buf[in.w:])
	in.w += n
	return n, err
}

// pass passes over line ends before a request line, and tells whether there is more.
func (in *input) pass() bool {
	for in.r < in.w && (in.buf[in.r] == '\r' || in.buf[in.r] == '\n') {
		in.use(1)
	}
	return in.r < in.w
}

// shrink gives back what a large header has taken, when nothing is unread.
func (in *input) shrink() {
	if len(in.buf) > bufferBytes && in.r == in.w {
		*in = input{buf: make([]byte, bufferBytes)}
	}
}

// head is what is there of a request line, the header lines and the empty line after them; nil where their end is not. Line
// ends before a request line are passed over, and LF is taken for CR LF (RFC 9112, section 2.2).
func (in *input) head() []byte {
	in.pass()
	for {
		i := bytes.IndexByte(in.buf[in.scanned:in.w], '\n')
		if i < 0 {
			in.scanned = in.w
			return nil
		}
		end := in.scanned + i + 1
		switch next := in.buf[end:in.w]; {
		case len(next) > 0 && next[0] == '\n':
			return in.buf[in.r : end+1]
		case len(next) > 1 && next[0] == '\r' && next[1] == '\n':
			return in.buf[in.r : end+2]
		case len(next) == 0, len(next) == 1 && next[0] == '\r':
			in.scanned = end - 1 // whether it ends here is not known yet
			return nil
		}
		in.scanned = end
	}
}
