package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// conn is one connection. One goroutine owns it, but for what mu guards; while a handler has been running for noticeAfter
// and its request's body has ended, the input is that of the one who notices that the client leaves.
type conn struct {
	server *Server
	tls    *tls.Conn
	ctx    context.Context
	cancel context.CancelFunc
	state  tls.ConnectionState
	remote string
	work   *work // nil while it is parked
	body   body
	reply  reply
	began  time.Time // when the last header had come
	ended  time.Time // when the last answer had been sent
	write  time.Time // the write deadline

	mu       sync.Mutex
	read     time.Time // the read deadline
	idle     bool      // of the next request nothing has come
	stopping bool
	handling bool          // the handler runs
	watching bool          // somebody has begun to notice that the client leaves
	watched  chan struct{} // has one where that one has ended
	timer    *time.Timer   // begins it
}

// work is what a connection needs while it is used: others have it afterwards. No request outlives its answer.
type work struct {
	in     input
	values []string
	header http.Header // of requests
	reply  http.Header
}

func newConn(ctx context.Context, s *Server, t *tls.Conn) *conn {
	c := &conn{server: s, tls: t, state: t.ConnectionState(), remote: t.RemoteAddr().String(), watched: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.body.c, c.reply.c = c, c
	return c
}

func (c *conn) takeWork() {
	w, ok := c.server.works.Get().(*work)
	if !ok {
		w = &work{in: input{buf: make([]byte, bufferBytes)}, header: make(http.Header), reply: make(http.Header)}
	}
	c.work, c.reply.header = w, w.reply
}

func (c *conn) putWork() {
	w := c.work
	c.work, c.reply.header = nil, nil
	if len(w.in.buf) > bufferBytes {
		w.in.buf = make([]byte, bufferBytes)
	}
	w.in.r, w.in.w, w.in.scanned = 0, 0, 0
	clear(w.header)
	clear(w.reply)
	clear(w.values[:cap(w.values)])
	c.server.works.Put(w)
}

// serve answers requests until the connection is parked or closed.
func (c *conn) serve() {
	for c.proceed(false) {
	}
}

// proceed answers a request and tells whether another may come here: otherwise the connection has been parked or closed.
// first is set for a new one.
func (c *conn) proceed(first bool) (more bool) {
	defer func() {
		if p := recover(); p != nil {
			c.server.config.Log.Error("panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			if c.handling {
				c.unwatch()
			}
			c.close()
		}
	}()
	if c.work == nil {
		c.takeWork()
	}
	head, err := c.next(first)
	switch {
	case errors.Is(err, errIdle):
		c.putWork()
		go c.park() // a new stack, as small as can be
		return false
	case err != nil:
		c.refuse(err)
		return false
	}
	if !c.exchange(head) {
		c.close()
		return false
	}
	return true
}

// errIdle is why there is no request: there may be one later.
var errIdle = errors.New("nothing has come")

// Error implements error.
func (r *refusal) Error() string { return r.detail }

// next is the next header.
func (c *conn) next(first bool) (string, error) {
	in := &c.work.in
	began := time.Now()
	head := in.head()
	if head == nil && len(in.unread()) == 0 {
		if err := c.awaitFirst(first); err != nil {
			return "", err
		}
		head = in.head()
	}
	if head == nil {
		if !first {
			began = time.Now() // its first bytes have just come
		}
		if err := c.readUntil(began.Add(c.server.config.HeaderTimeout)); err != nil {
			return "", err
		}
	}
	for head == nil {
		if len(in.unread()) >= c.server.config.MaxHeaderBytes {
			return "", errHeaderTooLarge
		}
		_, err := in.fill(c.tls)
		head = in.head()
		switch {
		case head != nil: // an end behind it is found after it
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", errSlowHeader
		case err != nil:
			return "", err
		}
	}
	if len(head) > c.server.config.MaxHeaderBytes {
		return "", errHeaderTooLarge
	}
	text := string(head)
	in.use(len(head))
	return text, nil
}

// awaitFirst reads the first bytes of a request, of which line ends are none. Its error is errIdle where there are none yet.
func (c *conn) awaitFirst(first bool) error {
	if !c.rest(first) {
		return os.ErrDeadlineExceeded
	}
	for {
		_, err := c.work.in.fill(c.tls)
		if some := c.work.in.pass(); some || err != nil {
			return c.begun(first, some, err)
		}
	}
}

// begun tells what the end of awaitFirst's wait is.
func (c *conn) begun(first, some bool, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case some:
		c.idle = false
		return nil
	case !first && !c.stopping && errors.Is(err, os.ErrDeadlineExceeded):
		return errIdle
	}
	return err
}

// rest sets the deadlines for the first bytes of a request, and tells whether one is wanted. To read may be to write: TLS
// answers a KeyUpdate (RFC 8446, section 4.6.3).
func (c *conn) rest(first bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = true
	if c.stopping || c.writeFor(c.server.config.WriteTimeout) != nil {
		return false
	}
	wait := c.server.config.ParkAfter
	if first {
		wait = c.server.config.HeaderTimeout
	}
	return c.readFor(wait) == nil
}

// readFor sets the read deadline to d from now, or keeps one that is little later. The caller holds mu.
func (c *conn) readFor(d time.Duration) error { return move(&c.read, d, c.tls.SetReadDeadline) }

// writeFor does so with the write deadline, and needs no mu.
func (c *conn) writeFor(d time.Duration) error { return move(&c.write, d, c.tls.SetWriteDeadline) }

// move sets a deadline that is to be d from now, unless at, where it is, is little later: to set one takes longer than to look.
func move(at *time.Time, d time.Duration, set func(time.Time) error) error {
	now := time.Now()
	if later := at.Sub(now); d <= later && later <= d+d/8 {
		return nil
	}
	*at = now.Add(d + d/8)
	return set(*at)
}

// readUntil sets the read deadline.
func (c *conn) readUntil(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.tls.SetReadDeadline(t)
}

// exchange has a request handled and answered, and tells whether the connection is to be kept.
func (c *conn) exchange(head string) (keep bool) {
	r := (&http.Request{Header: c.work.header, RemoteAddr: c.remote, TLS: &c.state}).WithContext(c.ctx)
	var no *refusal
	if c.work.values, no = parse(r, head, c.work.values[:0]); no != nil {
		c.reply.begin(r.Method == http.MethodHead, true)
		c.answerRefusal(no)
		return false
	}
	c.began = time.Now()
	c.body.begin(r)
	c.reply.begin(r.Method == http.MethodHead, r.Close || c.body.chunks != nil)
	c.watch()
	c.server.config.Handler.ServeHTTP(&c.reply, r)
	c.unwatch()
	c.reply.finish()
	if !c.reply.close && !c.body.ended.Load() {
		_, err := io.Copy(io.Discard, &c.body)
		c.reply.close = err != nil
	}
	if c.reply.close {
		if c.reply.err == nil && (!c.body.ended.Load() || c.body.chunks != nil || len(c.work.in.unread()) > 0) {
			c.linger()
		}
		return false
	}
	c.work.in.shrink()
	c.ended = time.Now()
	return true
}

// refuse ends a connection over which no request has come. Only one that has begun to send one is told.
func (c *conn) refuse(err error) {
	if no, ok := errors.AsType[*refusal](err); ok {
		c.reply.begin(false, true)
		c.answerRefusal(no)
	}
	c.close()
}

func (c *conn) answerRefusal(no *refusal) {
	c.body.ended.Store(true)
	c.server.config.Refuse(&c.reply, no.status, no.detail)
	c.reply.finish()
	if c.reply.err == nil {
		c.linger()
	}
}

// Bounds of lingering.
const (
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// linger says that no more will be sent, and reads what the client has sent meanwhile: to close a connection with something
// unread resets it, and the client might never see the answer (RFC 9112, section 9.6). One that sends on and on has the time
// to see it.
func (c *conn) linger() {
	until := time.Now().Add(lingerFor)
	if err := errors.Join(c.tls.CloseWrite(), c.readUntil(until)); err != nil {
		return
	}
	socket := innermost(c.tls.NetConn())
	if half, ok := socket.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // it is closed in any case
	}
	if _, err := io.CopyN(io.Discard, socket, lingerBytes); err == nil {
		<-time.After(time.Until(until))
	} // otherwise it has ended, or its time has
}

// stop has it closed when it is idle or becomes so.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.idle {
		c.read = time.Unix(1, 0)
		_ = c.tls.SetReadDeadline(c.read) // an error would be that it has been closed
	}
}

func (c *conn) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

func (c *conn) close() {
	c.cancel()
	_ = c.tls.Close() // nothing more is said on it
	if c.work != nil {
		c.putWork()
	}
	c.server.remove(c)
}
