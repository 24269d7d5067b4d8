package api

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// kaskMetrics are the metrics that Kask has, under Kask's names and with its labels and buckets, so that dashboards and alerts
// that were made for Kask go on working. A nil *kaskMetrics records nothing.
//
// Like Kask, it counts the requests on keys only, in all collections together. The label method has only the methods of keys,
// so clients cannot create new series.
type kaskMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newKaskMetrics(reg prometheus.Registerer, version string) *kaskMetrics {
	labels := []string{"code", "method"}
	m := &kaskMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests on keys, by response status and method, under the name that Kask uses.",
		}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Duration of requests on keys in seconds, by response status and method, under the name that Kask uses.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}, labels),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kask_build_info", Help: "Always 1. The labels describe this program, under the name that Kask uses.",
		ConstLabels: prometheus.Labels{"version": version, "build_date": "unknown", "build_host": "unknown", "go_version": runtime.Version()},
	})
	info.Set(1)
	reg.MustRegister(m.requests, m.duration, info)
	return m
}

// observe records a finished request, if it was on a key.
func (m *kaskMetrics) observe(rt *route, status int, duration time.Duration) {
	if m == nil || !rt.keyed() || rt.passwords {
		return
	}
	code := strconv.Itoa(status)
	m.requests.WithLabelValues(code, rt.method).Inc()
	m.duration.WithLabelValues(code, rt.method).Observe(duration.Seconds())
}
