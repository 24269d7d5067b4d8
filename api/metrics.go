package api

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of requests. Labels are methods, routes and statuses of ours; never anything that a client chose.
type metrics struct {
	requests *prometheus.HistogramVec
	shed     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, inFlight *atomic.Int64) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "userinfo_http_request_seconds",
			Help:    "Time of a request, by method, route and the status that the client was sent (499: it had left).",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3},
		}, []string{"method", "route", "status"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_http_shed_total", Help: "Requests answered 503 because too many were in flight.",
		}),
	}
	reg.MustRegister(m.requests, m.shed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "userinfo_http_in_flight", Help: "Requests being worked on.",
	}, func() float64 { return float64(inFlight.Load()) }))
	return m
}

// handles are the histograms of one route, by status, each resolved when it is first needed: resolving costs more
// than observing, and most statuses never happen on most routes.
type handles struct {
	metrics  *metrics
	route    route
	byStatus [600]atomic.Pointer[prometheus.Observer]
}

func (h *handles) observe(status int, took time.Duration) {
	known := &h.byStatus[status]
	if known.Load() == nil {
		o := h.metrics.requests.WithLabelValues(h.route.method, h.route.path, strconv.Itoa(status))
		known.Store(&o)
	}
	(*known.Load()).Observe(took.Seconds())
}
