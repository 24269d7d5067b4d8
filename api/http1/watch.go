package http1

import "time"

// noticeAfter is how long a handler runs before it is noticed that its client has left. Nearly all are quicker, and cost
// no goroutine that reads beside them.
const noticeAfter = 10 * time.Millisecond

// watch begins with the handler.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handling = true
	if c.timer == nil { // notice needs it, and may be quicker than this goroutine
		c.timer = time.AfterFunc(noticeAfter, c.notice)
	} else {
		c.timer.Reset(noticeAfter)
	}
}

// notice reads ahead, and cancels the requests' context where the connection has ended. It may come late, when another
// request is handled: then that one's client is watched, which does no harm.
func (c *conn) notice() {
	c.mu.Lock()
	if !c.handling || c.watching {
		c.mu.Unlock()
		return
	}
	if !c.body.ended.Load() { // the handler reads
		c.timer.Reset(noticeAfter)
		c.mu.Unlock()
		return
	}
	c.watching = true
	c.read = time.Time{}
	err := c.tls.SetReadDeadline(c.read)
	c.mu.Unlock()
	n := 0
	if err == nil {
		n, err = c.work.in.fill(c.tls)
	}
	c.mu.Lock()
	left := n == 0 && err != nil && c.handling // an end behind another request is found after it
	c.mu.Unlock()
	if left {
		c.cancel()
	}
	c.watched <- struct{}{}
}

// unwatch ends with the handler. The input is the connection's again after it.
func (c *conn) unwatch() {
	c.timer.Stop()
	c.mu.Lock()
	c.handling = false
	watching := c.watching
	if watching {
		c.read = time.Unix(1, 0)
		_ = c.tls.SetReadDeadline(c.read) // an error would be that it has been closed: then nobody reads
	}
	c.mu.Unlock()
	if watching {
		<-c.watched
		c.mu.Lock()
		c.watching = false
		c.mu.Unlock()
	}
}
