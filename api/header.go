package api

import "net/http"

const (
	// smallHeader is the largest header, in bytes, that is not counted. Headers of honest clients are smaller, except behind a
	// proxy that forwards a chain of certificates.
	smallHeader = 8 << 10
	// fieldOverhead is roughly the memory in bytes that a header field takes in addition to its text.
	fieldOverhead = 64
)

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
