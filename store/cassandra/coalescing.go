package cassandra

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"userinfo/internal/panics"
	"userinfo/store/cassandra/coordinator"
)

const (
	// maxBuffered is how many bytes may wait to be sent, before a write fails. It is twice what store.LargeValues lets in at
	// once, so that only frames fail it that wait for a node which does not read.
	maxBuffered = 8 << 20
	// keptBuffer is the size of a buffer whose memory is used again.
	keptBuffer = 1 << 20
)

// errBufferFull is the error of a write that found no room. It wraps context.DeadlineExceeded, so that the driver keeps the
// connection: nothing of the frame was written.
var errBufferFull = fmt.Errorf("%w: %d bytes (%w)", coordinator.ErrUnsent, maxBuffered, context.DeadlineExceeded)

// coalescingConn is a connection that sends several frames with one system call and in one TLS record.
//
// Write appends to a buffer and returns. A goroutine sends the buffer. Frames that are written while it sends go out
// together afterwards. So the busier the connection is, the less a request costs, and no frame waits for others to come.
// Measured: see docs/performance.md and BenchmarkCoalescingConn.
//
// Frames are sent in the order in which they were written. If sending fails, the connection is closed: Read returns the
// error, and so does every later Write.
//
// The sending goroutine ends when the buffer is empty, when sending fails or times out, or when the connection is
// closed.
type coalescingConn struct {
	net.Conn               // TLS
	timeout  time.Duration // of sending one buffer; 0 means no limit
	panics   *panics.Recorder

	mu      sync.Mutex // guards the fields below
	buffer  []byte     // not being sent yet
	spare   []byte     // memory for the next buffer
	sending bool       // the goroutine runs
	err     error      // if set, nothing is sent any more
}

func newCoalescingConn(c net.Conn, timeout time.Duration) *coalescingConn {
	return &coalescingConn{Conn: c, timeout: timeout}
}

// Write implements net.Conn. It takes all of p or nothing, and does not wait: if the buffer is full, it returns errBufferFull.
// The driver holds a lock meanwhile, so all later statements on this node would wait as well, and count as slow.
func (c *coalescingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case len(c.buffer) >= maxBuffered:
		return 0, errBufferFull
	}
	c.buffer = append(c.buffer, p...)
	if !c.sending {
		c.sending = true
		go func() {
			defer c.panics.Recover(panics.Coordinator, nil)
			c.send()
		}()
	}
	return len(p), nil
}

// send sends until the buffer is empty. It yields first, so that goroutines which are about to write can do so.
func (c *coalescingConn) send() {
	runtime.Gosched()
	var sent []byte
	for {
		next := c.takeBuffer(sent)
		if next == nil {
			return
		}
		if err := c.write(next); err != nil {
			c.fail(err)
			return
		}
		sent = next
	}
}

// write sends p, within the timeout.
func (c *coalescingConn) write(p []byte) (err error) {
	defer c.panics.Recover(panics.Coordinator, &err)
	if c.timeout > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
	}
	_, err = c.Conn.Write(p)
	return err
}

// takeBuffer returns what is to be sent next, or nil if sending ends. It takes over the memory of sent, the buffer that
// was sent before.
func (c *coalescingConn) takeBuffer(sent []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cap(sent) <= keptBuffer && sent != nil {
		c.spare = sent[:0]
	}
	if len(c.buffer) == 0 || c.err != nil {
		c.sending = false
		return nil
	}
	next := c.buffer
	c.buffer, c.spare = c.spare, nil
	return next
}

// fail stores err and closes the connection.
func (c *coalescingConn) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.buffer, c.spare, c.sending = nil, nil, false
	c.mu.Unlock()
	_ = c.Conn.Close() // ends Read, which returns c.err
}

// SetWriteDeadline does nothing: timeout bounds every write.
func (*coalescingConn) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.Conn.
func (c *coalescingConn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// Read implements net.Conn. If sending has failed, it returns that error.
func (c *coalescingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil {
			err = c.err
		}
	}
	return n, err
}
