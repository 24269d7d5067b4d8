package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"time"
)

// httpConn asks by HTTP/1.1, hand-written because the generator shares its machine with what it measures: a request is
// put together in one buffer and sent by one Write, an answer is read through one buffer and thrown away. Both buffers,
// and that below TLS, last as long as the Conn.
type httpConn struct {
	d     *httpsDialer
	tls   *tls.Config // the dialer's; with Resume a copy of it that has a session cache
	conn  net.Conn    // nil where there is none now
	wire  *wire
	in    *bufio.Reader
	out   []byte
	count traffic
}

// mostLine is the longest line of an answer's head.
const mostLine = 4096

func newHTTPConn(d *httpsDialer) *httpConn {
	c := &httpConn{d: d, tls: d.TLS, in: bufio.NewReaderSize(nil, mostLine), out: make([]byte, 0, 1024)}
	if d.Resume && d.TLS != nil {
		c.tls = d.TLS.Clone()
		c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

// connect makes the connection, TLS included, and gives it Patience.
func (c *httpConn) connect(ctx context.Context) error {
	deadline := time.Now().Add(Patience)
	// No keep-alive probes: they are four more system calls, and a request's deadline finds a dead peer.
	dialer := net.Dialer{Deadline: deadline, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, c.d.network, c.d.address)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		conn.Close()
		return err
	}
	if c.wire == nil {
		c.wire = newWire(&c.count)
	}
	c.wire.use(conn)
	c.conn = c.wire
	if c.tls != nil {
		secure := tls.Client(c.wire, c.tls)
		if err := secure.Handshake(); err != nil {
			conn.Close()
			c.conn = nil
			return err
		}
		c.conn = secure
	}
	c.in.Reset(c.conn)
	return nil
}

// Do sends op and reads the answer. A connection that its server closes after an answer is made again by the next Do.
func (c *httpConn) Do(ctx context.Context, op *Op) error {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	} else if err := c.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	c.compose(op)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	a, err := readAnswer(c.in)
	if err != nil {
		return err
	}
	if c.d.Fresh || a.closing {
		if err := c.Close(); err != nil && !c.d.Fresh {
			return err
		}
	}
	return verdict(op, a.status, a.length)
}

// compose puts the request into c.out:
//
//	GET /sessions/v1/enwiki%3AMWSession%3A00ff… HTTP/1.1 CRLF
//	Host: … CRLF
//	fixed headers CRLF
//	TTL: 3600 CRLF                of a set and a touch
//	Content-Length: 2048 CRLF     of a set and a touch
//	CRLF
//	value                         of a set
func (c *httpConn) compose(op *Op) {
	h := &c.d.heads[op.Method]
	b := append(c.out[:0], h.before...)
	b = appendEscaped(b, op.Key)
	b = append(b, h.after...)
	if op.Method == Set || op.Method == Touch {
		if op.TTL > 0 {
			b = append(b, "TTL: "...)
			b = strconv.AppendInt(b, int64(op.TTL), 10)
			b = append(b, "\r\n"...)
		}
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(op.Value)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.out = append(b, op.Value...)
}

// Close can be called again.
func (c *httpConn) Close() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.Close()
}

// Wire is of all connections that the Conn has made.
func (c *httpConn) Wire() (sent, received int64) { return c.count.sent, c.count.received }
