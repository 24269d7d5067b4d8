package api

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// The memory that a value takes while its request is in flight, in multiples of its size. A test measures them without
// Cassandra.
//
//	set    the body or its sealed form, and a frame of up to 1.25 times the value for each of two attempts at Cassandra
//	get    the frame from Cassandra, in which the value is decrypted, and the frame of a second attempt
const (
	SetCopies = 4
	GetCopies = 2
)

// budget bounds the memory, in bytes, for values of requests in flight. It is safe for concurrent use. Each client has a
// share of it: see clientLimits.reserve.
type budget struct {
	limit   int64 // 0: no limit
	held    atomic.Int64
	refused prometheus.Counter
}

func newBudget(reg prometheus.Registerer, limit int64) *budget {
	b := &budget{limit: limit, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "userinfo_in_flight_bytes_refused_total", Help: "Requests answered 503 because the memory for values in flight was used up.",
	})}
	reg.MustRegister(b.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "userinfo_in_flight_bytes", Help: "Memory in bytes that is reserved for values of requests in flight.",
		}, func() float64 { return float64(b.held.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "userinfo_in_flight_limit_bytes", Help: "Largest memory in bytes for values of requests in flight; 0 is no limit.",
		}, func() float64 { return float64(b.limit) }))
	return b
}

// take reserves n bytes, or returns errTooManyBytes.
func (b *budget) take(n int64) error {
	if held := b.held.Add(n); b.limit > 0 && held > b.limit {
		b.held.Add(-n)
		b.refused.Inc()
		return errTooManyBytes
	}
	return nil
}

// release ends the reservation of n bytes.
func (b *budget) release(n int64) { b.held.Add(-n) }

// hold makes the request hold n bytes of memory: it reserves more, or releases what is too much. It must be called before the
// memory is allocated where that is possible. finish releases all of it. The error is errClientTooManyBytes or
// errTooManyBytes; then nothing changes.
func (rs *requestState) hold(n int64) error {
	if more := n - rs.held; more <= 0 {
		rs.limits.release(-more)
	} else if err := rs.limits.reserve(more); err != nil {
		return err
	}
	rs.held = n
	return nil
}
