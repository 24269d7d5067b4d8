package api

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// noticeAfter is how long a request of HTTP/1.1 is worked on before it is noticed that its client has left. Nearly all are
// answered sooner.
const noticeAfter = 10 * time.Millisecond

// patient is a connection of HTTP/1.1, whose header lines are looked at beside net/http, and which saves net/http work.
//
// While a handler runs, net/http reads a byte on another goroutine, to notice that the client has left, and when the
// handler returns breaks that read off by a read deadline in the past. Through TLS that is a system call in vain, a stack
// that grows and a wake-up by the poller: a fifth of the CPU of a get. So a read of one byte first waits whether it is broken
// off. And of the seven read deadlines that net/http sets for a request, those count alone that are there when something
// is read.
//
// Nothing here relies on net/http doing so: a read of one byte that is none of these begins noticeAfter later, and a
// deadline holds for any read that is under way when it is set, or begins afterwards.
type patient struct {
	*tls.Conn
	lines lines

	park *park // takes it while nothing is asked over it

	mu      sync.Mutex
	want    time.Time     // the read deadline that was set last
	applied time.Time     // the one that Conn has
	reading int           // reads of Conn under way
	waiting bool          // a read waits to be broken off
	broken  chan struct{} // tells it so; of one element. nil until one waits
	timer   *time.Timer   // with broken
	idle    bool          // between two requests, as net/http says
	leaving bool          // net/http has been told that it has ended, and is about to close it
}

// longAgo is later than the deadline by which net/http breaks reads off, and before any other.
var longAgo = time.Unix(1<<30, 0)

func past(t time.Time) bool { return !t.IsZero() && t.Before(longAgo) }

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	until, err := p.begin(len(b) == 1)
	if err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if p.ended(until, n, err) {
		return 0, io.EOF
	}
	p.lines.note(b[:n])
	return n, err
}

// begin is called before Conn is read; where it returns no error, reading has been counted. until is not zero where the
// connection is to be parked if nothing has come by then.
func (p *patient) begin(mayWait bool) (until time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mayWait && !past(p.want) {
		p.wait()
	}
	if past(p.want) {
		return until, os.ErrDeadlineExceeded
	}
	deadline := p.want
	if p.idle && !mayWait && p.lines.none() {
		soon := time.Now().Add(p.park.after)
		if early := soon.Sub(p.applied); 0 <= early && early < p.park.after/8 {
			soon = p.applied // that of the last request will do
		}
		if deadline.IsZero() || soon.Before(deadline) {
			until, deadline = soon, soon
		}
	}
	if !deadline.Equal(p.applied) {
		if err := p.Conn.SetReadDeadline(deadline); err != nil {
			return until, err
		}
		p.applied = deadline
	}
	p.reading++
	return until, nil
}

// ended is called after Conn was read, and tells whether the connection is to be parked.
func (p *patient) ended(until time.Time, n int, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading--
	if until.IsZero() || n > 0 || !p.applied.Equal(until) || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	p.leaving = true
	return true
}

// turned notes what net/http says of the connection.
func (p *patient) turned(state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = state == http.StateIdle
}

// Close implements net.Conn. A connection that is to be parked is kept.
func (p *patient) Close() error {
	p.mu.Lock()
	leaving := p.leaving
	p.leaving, p.idle = false, false
	p.mu.Unlock()
	if leaving {
		p.park.take(p)
		return nil
	}
	return p.Conn.Close()
}

// wait returns after noticeAfter, or when the read deadline has been set to the past. It gives mu back meanwhile.
func (p *patient) wait() {
	if p.waiting { // another's turn: only one waits
		return
	}
	if p.broken == nil {
		p.broken, p.timer = make(chan struct{}, 1), time.NewTimer(noticeAfter)
	} else {
		p.timer.Reset(noticeAfter)
	}
	p.waiting = true
	p.mu.Unlock()
	select {
	case <-p.broken:
		p.timer.Stop()
		p.mu.Lock()
	case <-p.timer.C:
		p.mu.Lock()
		if !p.waiting { // told so at the same moment
			<-p.broken
		}
		p.waiting = false
	}
}

// SetReadDeadline implements net.Conn.
func (p *patient) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = t
	if p.waiting && past(t) {
		p.waiting = false
		p.broken <- struct{}{}
	}
	if p.reading == 0 {
		return nil
	}
	p.applied = t
	return p.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (p *patient) SetDeadline(t time.Time) error {
	if err := p.SetReadDeadline(t); err != nil {
		return err
	}
	return p.Conn.SetWriteDeadline(t)
}
