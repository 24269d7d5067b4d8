package load

import (
	"bufio"
	"net"
)

// wire is the network connection below TLS: it counts, and it reads ahead, so that an answer of a few records takes one
// system call and not two for each record (crypto/tls asks for a record's head first). One goroutine uses it.
type wire struct {
	net.Conn
	ahead *bufio.Reader // from counted
	count *traffic
}

// traffic is bytes below TLS.
type traffic struct{ sent, received int64 }

func newWire(count *traffic) *wire { return &wire{ahead: bufio.NewReader(nil), count: count} }

// use takes c in place of the connection before. What was read ahead of that is lost.
func (w *wire) use(c net.Conn) {
	w.Conn = c
	w.ahead.Reset(counted{w})
}

// Read is from what was read ahead first.
func (w *wire) Read(p []byte) (int, error) { return w.ahead.Read(p) }

// Write counts what has gone.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.count.sent += int64(n)
	return n, err
}

// counted is what wire reads ahead from.
type counted struct{ w *wire }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.w.Conn.Read(p)
	c.w.count.received += int64(n)
	return n, err
}
