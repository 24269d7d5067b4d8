package http1

import (
	"net"
	"os"
	"syscall"
)

// park waits for something to come, with a stack of 2 kB and no buffer, and goes on. It closes the connection when it has
// been idle for too long, or is to be closed.
func (c *conn) park() {
	c.server.parked.Add(1)
	err := c.untilIdleEnds()
	if err == nil {
		err = readable(c.tls.NetConn())
	}
	c.server.parked.Add(-1)
	if err != nil {
		c.close()
		return
	}
	c.serve()
}

// untilIdleEnds sets the read deadline to when the connection has been idle for long enough.
func (c *conn) untilIdleEnds() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return os.ErrDeadlineExceeded
	}
	c.read = c.ended.Add(c.server.config.IdleTimeout)
	return c.tls.SetReadDeadline(c.read)
}

// readable waits until there is something to read, be it the end, or the read deadline has passed. What TLS has read ahead
// it does not see: there is nothing, as a record is read as a whole, and what is in it before others are waited for.
func readable(c net.Conn) error {
	socket, ok := innermost(c).(syscall.Conn)
	if !ok {
		return os.ErrInvalid
	}
	raw, err := socket.SyscallConn()
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

// innermost looks through every connection with the method NetConn.
func innermost(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}
