package api

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts and times requests. Every label value is chosen by the service, so clients cannot create new series.
type metrics struct {
	requests *prometheus.HistogramVec
	problems *prometheus.CounterVec
	shed     prometheus.Counter
	kask     *kaskMetrics // nil: no metrics under the names of Kask
}

func newMetrics(c Config, inFlight *atomic.Int64) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "userinfo_http_request_seconds",
			Help:    "Duration of requests in seconds, by method, route and response status (499: the client left before the response).",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3},
		}, []string{"method", "route", "status"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_http_problems_total", Help: "Error responses, by the name of their problem document.",
		}, []string{"problem"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_http_shed_total", Help: "Requests answered 503 because too many were in flight.",
		}),
	}
	c.Registry.MustRegister(m.requests, m.problems, m.shed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "userinfo_http_in_flight", Help: "Requests in flight, without those for health resources.",
	}, func() float64 { return float64(inFlight.Load()) }))
	if c.KaskNames {
		m.kask = newKaskMetrics(c.Registry, c.Version)
	}
	return m
}

// observe records a finished request.
func (m *metrics) observe(rt *route, status int, duration time.Duration) {
	m.requests.WithLabelValues(rt.method, rt.path, strconv.Itoa(status)).Observe(duration.Seconds())
	m.kask.observe(rt, status, duration)
}

// countProblem records an error response.
func (m *metrics) countProblem(p problem) {
	m.problems.WithLabelValues(strings.TrimPrefix(p.Type, problemBase)).Inc()
}
