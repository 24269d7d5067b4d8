package api

import (
	"sync/atomic"
	"time"
)

// StallTime is how long a stage may have work and finish none of it. It is much longer than one connection or one request can
// take: firstRequestTimeout, or readTimeout and RequestTimeout together. The write of a response does not count: over
// HTTP/2, a client that reads slowly can make it longer than writeTimeout.
const StallTime = 20 * time.Second

// stage is a part of the server that connections or requests pass through.
type stage struct{ entered, left atomic.Uint64 }

func (s *stage) enter() { s.entered.Add(1) }
func (s *stage) leave() { s.left.Add(1) }

// stallWatch finds out whether a stage stalls. Only one goroutine may use it.
type stallWatch struct {
	name      string
	stage     *stage
	seen      uint64        // stage.left at the last look
	unchanged time.Duration // for how long work has been in the stage and none of it has left
}

// stalls reports whether work has been in the stage for StallTime and none of it has left. elapsed is the time since the last
// look.
func (w *stallWatch) stalls(elapsed time.Duration) bool {
	left := w.stage.left.Load()
	if left != w.seen || left == w.stage.entered.Load() {
		w.seen, w.unchanged = left, 0
		return false
	}
	w.unchanged += elapsed
	return w.unchanged >= StallTime
}

// Stalled returns the part of the server that hangs, or "". A part hangs if it has had work for StallTime and finished none of
// it, for example because of a deadlock. A busy server is not stalled: it finishes some requests, if only with 503. An idle
// server is not stalled either.
//
// elapsed is the time since the last call, without the time that the whole process was stopped: at most the interval of the
// calls. Stalled may not be called concurrently.
func (s *Server) Stalled(elapsed time.Duration) string {
	stalled := ""
	for i := range s.stalls {
		if s.stalls[i].stalls(elapsed) && stalled == "" {
			stalled = s.stalls[i].name
		}
	}
	return stalled
}

// newStallWatches returns watches of every stage of the server.
func (s *Server) newStallWatches() []stallWatch {
	return []stallWatch{
		{name: "accepting connections", stage: &s.accepting},
		{name: "first requests of connections", stage: &s.beforeRequest},
		{name: "requests", stage: &s.config.API.requests},
	}
}
