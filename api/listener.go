package api

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"userinfo/internal/panics"
)

// connLogInterval is the shortest time between two log records about the same bound, or about failed accepts.
const connLogInterval = 10 * time.Second

// Pauses after failed accepts in a row.
const (
	firstAcceptPause = 5 * time.Millisecond
	maxAcceptPause   = time.Second
)

// connListener accepts connections for a Server, as far as the bounds of its table allow.
type connListener struct {
	net.Listener
	server *Server
	close  func() error // closes Listener, once
	closed chan struct{}
	busy   bool // with a connection that was accepted; belongs to the goroutine that accepts
}

func newConnListener(l net.Listener, s *Server) *connListener {
	closed := make(chan struct{})
	return &connListener{Listener: l, server: s, closed: closed, close: sync.OnceValue(func() error {
		close(closed)
		return l.Close()
	})}
}

// Close implements net.Listener.
func (l *connListener) Close() error { return l.close() }

// Accept implements net.Listener. It returns an error only if no later accept can succeed. After any other error, such as
// too many open files, and after a panic, it pauses and goes on.
func (l *connListener) Accept() (net.Conn, error) {
	for pause := firstAcceptPause; ; {
		c, err := l.acceptOne()
		switch {
		case err != nil && !passes(err):
			return nil, err
		case err != nil:
			l.server.limits.acceptFailed(err)
			select {
			case <-l.closed:
			case <-time.After(pause):
			}
			pause = min(2*pause, maxAcceptPause)
		default:
			pause = firstAcceptPause
			if conn := l.server.newConn(c); conn.admit() {
				return conn, nil
			}
		}
	}
}

// acceptOne accepts one connection. If that panics, the error is panics.ErrPanic.
func (l *connListener) acceptOne() (c net.Conn, err error) {
	defer l.server.panics.Recover(panics.Connection, &err)
	if l.busy {
		l.server.accepting.leave()
	}
	l.busy = false
	if c, err = l.Listener.Accept(); err == nil {
		l.busy = true
		l.server.accepting.enter()
	}
	return c, err
}

// passes reports whether an accept may succeed after one has failed with err. Besides too many open files and too little
// memory, accept(2) reports errors of the network that belong to one connection.
func passes(err error) bool {
	if errors.Is(err, panics.ErrPanic) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EFAULT:
		return false
	}
	return true
}

// connLimits counts and logs what happens at the bounds of a connTable.
type connLimits struct {
	table            *connTable
	log              *slog.Logger
	refused, evicted *prometheus.CounterVec
	acceptErrors     prometheus.Counter
	records          map[string]*rate.Sometimes // by message and bound
}

// Messages of connLimits.
const (
	logRefused = "too many connections, and none is idle: a new one is refused"
	logEvicted = "too many connections: the longest idle one is closed to make room for a new one"
	logAccept  = "connections cannot be accepted; trying again"
)

func newConnLimits(t *connTable, registry prometheus.Registerer, log *slog.Logger) *connLimits {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason"})
	}
	l := &connLimits{
		table: t, log: log, records: map[string]*rate.Sometimes{logAccept: {Interval: connLogInterval}},
		refused: counter("userinfo_connections_refused_total", "Connections closed at once because too many were open and none was idle, by the bound that was reached."),
		evicted: counter("userinfo_connections_evicted_total", "Idle connections closed to make room for a new one, by the bound that was reached."),
		acceptErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_accept_errors_total", Help: "Failed attempts to accept a connection, for example because of too many open files."}),
	}
	for _, b := range []connBound{boundTotal, boundUnauthenticated, boundAddress, boundClient} {
		l.refused.WithLabelValues(string(b)) // so that the first one is an increase
		l.evicted.WithLabelValues(string(b))
		l.records[logRefused+string(b)], l.records[logEvicted+string(b)] = &rate.Sometimes{Interval: connLogInterval}, &rate.Sometimes{Interval: connLogInterval}
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	registry.MustRegister(l.refused, l.evicted, l.acceptErrors,
		gauge("userinfo_connections", "Open connections.", func() int { total, _ := t.counts(); return total }),
		gauge("userinfo_connections_unauthenticated", "Open connections without an authenticated request so far.",
			func() int { _, unauthenticated := t.counts(); return unauthenticated }))
	return l
}

// enforce closes the evicted connections. It returns true if the new connection is not refused. owner is the address or the
// client of the new connection.
func (l *connLimits) enforce(evicted []eviction, refused connBound, owner string) bool {
	for _, e := range evicted {
		_ = e.conn.Close() // fails if the client has closed it
		l.evicted.WithLabelValues(string(e.bound)).Inc()
		l.record(logEvicted, e.bound, owner)
	}
	if refused == "" {
		return true
	}
	l.refused.WithLabelValues(string(refused)).Inc()
	l.record(logRefused, refused, owner)
	return false
}

// record logs a message, at most once in connLogInterval for each bound.
func (l *connLimits) record(message string, bound connBound, owner string) {
	l.records[message+string(bound)].Do(func() {
		total, unauthenticated := l.table.counts()
		attrs := []any{"reason", string(bound), "open", total, "unauthenticated", unauthenticated}
		if bound == boundAddress || bound == boundClient {
			attrs = append(attrs, "of", owner)
		}
		l.log.Warn(message, attrs...)
	})
}

// acceptFailed counts and logs a failed accept.
func (l *connLimits) acceptFailed(err error) {
	l.acceptErrors.Inc()
	l.records[logAccept].Do(func() {
		total, _ := l.table.counts()
		l.log.Error(logAccept, "error", err.Error(), "open", total)
	})
}
