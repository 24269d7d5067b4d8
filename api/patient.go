package api

import (
	"crypto/tls"
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

	mu      sync.Mutex
	want    time.Time     // the read deadline that was set last
	applied time.Time     // the one that Conn has
	reading int           // reads of Conn under way
	waiting bool          // a read waits to be broken off
	broken  chan struct{} // tells it so; of one element. nil until one waits
	timer   *time.Timer   // with broken
}

// longAgo is later than the deadline by which net/http breaks reads off, and before any other.
var longAgo = time.Unix(1<<30, 0)

func past(t time.Time) bool { return !t.IsZero() && t.Before(longAgo) }

// Read implements net.Conn.
func (p *patient) Read(b []byte) (int, error) {
	if err := p.begin(len(b) == 1); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	p.mu.Lock()
	p.reading--
	p.mu.Unlock()
	p.lines.note(b[:n])
	return n, err
}

// begin is called before Conn is read; where it returns no error, reading has been counted.
func (p *patient) begin(mayWait bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mayWait && !past(p.want) {
		p.wait()
	}
	if past(p.want) {
		return os.ErrDeadlineExceeded
	}
	if !p.want.Equal(p.applied) {
		if err := p.Conn.SetReadDeadline(p.want); err != nil {
			return err
		}
		p.applied = p.want
	}
	p.reading++
	return nil
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
