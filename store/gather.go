package store

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

// gatherMost is how many bytes wait to be sent before a write waits, too; gatherPatience, how long that does.
const (
	gatherMost     = 1 << 20
	gatherPatience = hedgeAfter
)

// errNoRoom is of a write that has not begun. The driver takes it, for what it wraps, as such, and keeps the connection.
var errNoRoom = fmt.Errorf("%d bytes wait to be sent: %w", gatherMost, context.DeadlineExceeded)

// gathering is a connection whose writes do not wait for the network: what is written while something is being sent is
// sent together next, so that the busier it is, the fewer system calls and TLS records a request takes. Nothing waits for
// more to come.
//
// A frame that could not be sent whole is an error of the whole connection, which is closed: whoever waits for an answer
// learns it from Read, whoever writes after from Write. Frames go out in the order in which they were written.
type gathering struct {
	net.Conn               // TLS
	timeout  time.Duration // of sending what has gathered, 0 for ever; write deadlines are ignored

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // there is some, or an error
	pending []byte     // not yet being sent
	spare   []byte     // the memory of what was sent last
	sending bool       // a goroutine is, or is about to
	err     error      // once set, nothing is sent any more
}

func newGathering(c net.Conn, timeout time.Duration) *gathering {
	g := &gathering{Conn: c, timeout: timeout}
	g.room.L = &g.mu
	return g
}

// Write takes p whole, or fails: with errNoRoom where there has been none for gatherPatience.
func (g *gathering) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) >= gatherMost {
		g.awaitRoom()
	}
	switch {
	case g.err != nil:
		return 0, g.err
	case len(g.pending) >= gatherMost:
		return 0, errNoRoom
	}
	g.pending = append(g.pending, p...)
	if !g.sending {
		g.sending = true
		go g.send()
	}
	return len(p), nil
}

// awaitRoom returns when there is some, or an error, or not in time. The caller holds mu.
func (g *gathering) awaitRoom() {
	late := false
	timer := time.AfterFunc(gatherPatience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		late = true
		g.room.Broadcast()
	})
	defer timer.Stop()
	for len(g.pending) >= gatherMost && g.err == nil && !late {
		g.room.Wait()
	}
}

// send sends until nothing is pending. First it lets those run who are about to write.
func (g *gathering) send() {
	runtime.Gosched()
	var sent []byte
	for {
		next := g.next(sent)
		if next == nil {
			return
		}
		if err := g.write(next); err != nil {
			g.fail(err)
			return
		}
		sent = next
	}
}

func (g *gathering) write(p []byte) error {
	if g.timeout > 0 {
		if err := g.Conn.SetWriteDeadline(time.Now().Add(g.timeout)); err != nil {
			return err
		}
	}
	_, err := g.Conn.Write(p)
	return err
}

// next takes what is pending, and the memory of what was sent; nil where there is nothing to do any more.
func (g *gathering) next(sent []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if cap(sent) <= gatherMost && sent != nil {
		g.spare = sent[:0]
	}
	if len(g.pending) == 0 || g.err != nil {
		g.sending = false
		return nil
	}
	next := g.pending
	g.pending, g.spare = g.spare, nil
	g.room.Broadcast()
	return next
}

func (g *gathering) fail(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.pending, g.spare, g.sending = nil, nil, false
	g.room.Broadcast()
	g.mu.Unlock()
	_ = g.Conn.Close() // so that Read fails; what is told is err
}

// SetWriteDeadline does nothing.
func (*gathering) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.Conn.
func (g *gathering) Close() error {
	g.mu.Lock()
	if g.err == nil {
		g.err = net.ErrClosed
	}
	g.room.Broadcast()
	g.mu.Unlock()
	return g.Conn.Close()
}

// Read implements net.Conn. Where sending has failed, it says why.
func (g *gathering) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.err != nil {
			err = g.err
		}
	}
	return n, err
}
