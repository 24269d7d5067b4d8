package api

import (
	"net/http"
	"sync"
)

const (
	// smallHeader is the largest header, in bytes, that is not counted. Headers of honest clients are smaller, except behind a
	// proxy that forwards a chain of certificates.
	smallHeader = 8 << 10
	// fieldOverhead is roughly the memory in bytes that a header field takes in addition to its text.
	fieldOverhead = 64
	// maxRecord is the largest record of TLS, in bytes (RFC 8446, section 5.1).
	maxRecord = 16 << 10
)

// headerMemory reserves the memory that a stranger's connection takes for a header that is not complete: without a bound,
// strangers could send maxHeaderBytes on every connection and leave the last line out. It counts the bytes that have arrived
// since the last request began. They may include the begin of a body, because crypto/tls reads whole records of up to 16 KiB.
// The zero headerMemory is ready. It is safe for concurrent use.
type headerMemory struct {
	mu       sync.Mutex // guards the fields below
	requests int        // that handlers serve; what arrives meanwhile is a body
	received int64      // since the last request began
	held     int64      // reserved from owner
	owner    *clientLimits
}

// receive counts n bytes, and reserves what has arrived beyond smallHeader and one record. owner returns whose share it is
// taken from. The error is errClientTooManyBytes or errTooManyBytes; the connection must then be closed.
func (m *headerMemory) receive(n int, owner func() *clientLimits) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests > 0 {
		return nil
	}
	m.received += int64(n)
	more := min(m.received, maxHeaderBytes) - smallHeader - maxRecord - m.held
	if more <= 0 {
		return nil
	}
	if m.owner == nil {
		m.owner = owner()
	}
	if err := m.owner.reserve(more); err != nil {
		return err
	}
	m.held += more
	return nil
}

// beginRequest releases what was reserved. From here until endRequest, nothing counts. Closing a connection begins a request
// that never ends.
func (m *headerMemory) beginRequest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if m.held > 0 {
		m.owner.release(m.held)
	}
	m.received, m.held, m.owner = 0, 0, nil
}

// endRequest ends what beginRequest began.
func (m *headerMemory) endRequest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests--
}

// holdLargeHeader makes the client pay for a large header over HTTP/2 until its response is written. The handler has ended, so
// the request no longer counts as in flight, but a client with a flow-control window of 0 would keep many such headers in memory:
// they cost few bytes to send. Beyond the client's share of memory, or of all unauthenticated clients together, the connection is
// closed. Call it last.
func (rs *requestState) holdLargeHeader() {
	if rs.r.ProtoMajor < 2 {
		return // one request at a time
	}
	n := headerBytes(rs.r)
	if n <= smallHeader {
		return
	}
	limits := rs.api.limiter.client(rs.identity, rs.start)
	if err := limits.reserve(n); err != nil {
		if rs.conn != nil && !rs.trustedProxy {
			_ = rs.conn.Close() // fails if it is closed
		}
		return
	}
	defer limits.release(n)
	_ = http.NewResponseController(rs.w).Flush() // waits until the client has taken it, at most for writeTimeout
}

// headerBytes returns roughly how much memory the header of a request takes.
func headerBytes(r *http.Request) int64 {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		n += len(name)
		for _, v := range values {
			n += len(v) + fieldOverhead
		}
	}
	return int64(n)
}
