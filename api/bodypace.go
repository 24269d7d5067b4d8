package api

import (
	"io"
	"net/http"
	"sync"
	"time"

	"userinfo/internal/panics"
)

// A body must keep arriving: at least paceBytes in every paceInterval, until it is complete. A body of paceBytes or less
// only has to arrive within readTimeout.
const (
	paceInterval = time.Second
	paceBytes    = 16 << 10
)

// bodyPace reads a body, and ends a read with os.ErrDeadlineExceeded if too little of the body arrives. Without it, a client
// that withholds the last byte would hold the memory of its body for readTimeout.
type bodyPace struct {
	io.Reader
	interval time.Duration // paceInterval, except in tests

	mu      sync.Mutex // guards the fields below
	timer   *time.Timer
	arrived int // since the timer was started
	stopped bool
}

// newBodyPace returns a reader of body, which belongs to the request that w answers. The caller must call stop.
func newBodyPace(w http.ResponseWriter, body io.Reader, interval time.Duration, recorder *panics.Recorder) *bodyPace {
	p := &bodyPace{Reader: body, interval: interval}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(interval, func() {
		defer recorder.Recover(panics.Request, nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.stopped { // w may not be used after the handler has returned
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // fails if the connection is closed
		}
	})
	return p
}

// Read implements io.Reader.
func (p *bodyPace) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arrived += n; p.arrived >= paceBytes {
		p.arrived = 0
		p.timer.Reset(p.interval)
	}
	return n, err
}

// stop ends the measuring. It must be called before the handler returns.
func (p *bodyPace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}
