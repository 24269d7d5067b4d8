package api

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// parkAfter is how long a kept connection of HTTP/1.1 waits for the next request before it is parked.
const parkAfter = 2 * time.Second

// park has the connections over which nothing has been asked for a while. net/http has two buffers of 4 kB for each, and a
// goroutine with a stack of 8 kB; here each is a goroutine of 2 kB, which waits for the socket to become readable.
//
//	net/http: answer, next request … parkAfter without one: is told that the connection has ended, and closes it
//	                    ▲                                                                              │
//	                    └── accepts it as a new one ◀── something has come ── parked, up to its idle deadline ─▶ closed
//
// A connection is parked only while nothing has been read since its last request, so that no byte is in a buffer of
// net/http's. It goes on being counted as open.
type park struct {
	after time.Duration
	count *atomic.Int64  // how many are parked
	give  func(*patient) // back to net/http

	mu     sync.Mutex
	parked map[*patient]bool
	closed bool
}

// take keeps p until something comes over it, and closes it at its read deadline, or when the park is closed.
func (k *park) take(p *patient) {
	if k.add(p) {
		go k.await(p)
		return
	}
	_ = p.Conn.Close() // nothing is said on it
}

func (k *park) add(p *patient) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	if k.parked == nil {
		k.parked = make(map[*patient]bool)
	}
	k.parked[p] = true
	k.count.Add(1)
	return true
}

func (k *park) await(p *patient) {
	err := p.readable()
	k.mu.Lock()
	mine := k.parked[p]
	delete(k.parked, p)
	k.mu.Unlock()
	k.count.Add(-1)
	switch {
	case !mine: // the park has closed it
	case err != nil:
		_ = p.Conn.Close()
	default:
		k.give(p)
	}
}

// close closes what is parked, and whatever comes later.
func (k *park) close() {
	k.mu.Lock()
	parked := k.parked
	k.parked, k.closed = nil, true
	k.mu.Unlock()
	for p := range parked {
		_ = p.Conn.Close()
	}
}

// readable waits until there is something to read, be it the end, or the read deadline has passed.
func (p *patient) readable() error {
	raw, err := socketOf(p.NetConn())
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.applied = p.want
	err = p.Conn.SetReadDeadline(p.want)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		for {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
}

// socketOf looks through every connection with the method NetConn for one that is a socket.
func socketOf(c net.Conn) (syscall.RawConn, error) {
	for {
		if socket, ok := c.(syscall.Conn); ok {
			return socket.SyscallConn()
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, os.ErrInvalid
		}
		c = inner.NetConn()
	}
}
