package top

import (
	"fmt"
	"math"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// actions are the operations on keys, in the order in which they are shown.
var actions = [...]string{"get", "set", "touch", "delete"}

// actionOf returns the operation of a request by its method and route; "" if the route has no key.
func actionOf(method, route string) string {
	if !strings.HasSuffix(route, "/:key") {
		return ""
	}
	switch method {
	case "GET":
		return "get"
	case "PUT", "POST":
		return "set"
	case "PATCH":
		return "touch"
	case "DELETE":
		return "delete"
	}
	return ""
}

// rates are changes per second.
type rates struct {
	durations map[string]*histogram // of requests, by action
	// errors are responses with status 5xx, limited those with 429. shed are requests refused because too many were in flight.
	errors, limited, shed float64
	slow, hedges          float64 // attempts on Cassandra
	cpu                   float64 // processors in use
	problems              map[string]float64
	clients               map[string]clientRates
}

// clientRates are the rates of one client.
type clientRates struct{ requests, misses, denials, limited float64 }

func newRates() *rates {
	r := &rates{durations: make(map[string]*histogram), problems: make(map[string]float64), clients: make(map[string]clientRates)}
	for _, a := range actions {
		r.durations[a] = new(histogram)
	}
	return r
}

// ratesBetween returns the rates between two scrapes of an instance. It returns nil without a first scrape. If the instance has
// been restarted between them, everything that it has counted happened since the first.
func ratesBetween(first, second *Scrape) *rates {
	if first == nil {
		return nil
	}
	p := period{first, second, second.at.Sub(first.at).Seconds()}
	if p.seconds <= 0 {
		return nil
	}
	if restarted(first, second) {
		p.first = nil
	}
	r := newRates()
	r.readRequests(p)
	p.counter("userinfo_http_shed_total", func(_ *dto.Metric, n float64) { r.shed += n })
	p.counter("userinfo_cassandra_hedges_total", func(_ *dto.Metric, n float64) { r.hedges += n })
	p.counter("userinfo_cassandra_attempts_total", func(m *dto.Metric, n float64) {
		if label(m, "result") == "slow" {
			r.slow += n
		}
	})
	p.counter("process_cpu_seconds_total", func(_ *dto.Metric, n float64) { r.cpu += n })
	p.counter("userinfo_http_problems_total", func(m *dto.Metric, n float64) { r.problems[label(m, "problem")] += n })
	r.readClients(p)
	return r
}

// readRequests adds the durations of requests, and counts those that failed or were limited.
func (r *rates) readRequests(p period) {
	p.changes("userinfo_http_request_seconds", func(m, before *dto.Metric) {
		change := newHistogram(m.GetHistogram(), before.GetHistogram(), p.seconds)
		if d := r.durations[actionOf(label(m, "method"), label(m, "route"))]; d != nil {
			d.add(change)
		}
		switch status := label(m, "status"); {
		case status == "429":
			r.limited += change.total()
		case strings.HasPrefix(status, "5"):
			r.errors += change.total()
		}
	})
}

// readClients adds the rates of each client.
func (r *rates) readClients(p period) {
	for name, field := range map[string]func(*clientRates) *float64{
		"userinfo_client_requests_total": func(c *clientRates) *float64 { return &c.requests },
		"userinfo_client_misses_total":   func(c *clientRates) *float64 { return &c.misses },
		"userinfo_client_denials_total":  func(c *clientRates) *float64 { return &c.denials },
		"userinfo_client_limited_total":  func(c *clientRates) *float64 { return &c.limited },
	} {
		p.counter(name, func(m *dto.Metric, n float64) {
			c := r.clients[label(m, "client")]
			*field(&c) += n
			r.clients[label(m, "client")] = c
		})
	}
}

// restarted reports whether two scrapes are of different processes. If the metric is missing, it returns false: then increase
// still notices counters that have become smaller.
func restarted(first, second *Scrape) bool {
	a, b := first.gauge("process_start_time_seconds"), second.gauge("process_start_time_seconds")
	return !math.IsNaN(a) && !math.IsNaN(b) && a != b
}

// period is the time between two scrapes.
type period struct {
	first, second *Scrape // first is nil if the instance has counted everything since then
	seconds       float64
}

// changes calls visit with each series of a metric in the second scrape, and with the same series in the first one, or nil.
func (p period) changes(name string, visit func(m, before *dto.Metric)) {
	known := make(map[string]*dto.Metric)
	for _, m := range p.first.metrics(name) {
		known[labelKey(m)] = m
	}
	for _, m := range p.second.metrics(name) {
		visit(m, known[labelKey(m)])
	}
}

// counter calls add with each series of a counter, and with its increase per second.
func (p period) counter(name string, add func(m *dto.Metric, perSecond float64)) {
	p.changes(name, func(m, before *dto.Metric) { add(m, increase(valueOf(m), valueOf(before))/p.seconds) })
}

// labelKey returns a text that is different for each series of a metric.
func labelKey(m *dto.Metric) string {
	var b strings.Builder
	for _, l := range m.GetLabel() {
		fmt.Fprintf(&b, "%s=%q,", l.GetName(), l.GetValue())
	}
	return b.String()
}

// increase returns how much a counter has grown. A counter that became smaller has begun again at 0.
func increase(now, before float64) float64 {
	if n := now - before; n >= 0 {
		return n
	}
	return max(now, 0)
}

// add adds the rates of another instance.
func (r *rates) add(other *rates) {
	for action, d := range other.durations {
		r.durations[action].add(d)
	}
	r.errors += other.errors
	r.limited += other.limited
	r.shed += other.shed
	r.slow += other.slow
	r.hedges += other.hedges
	r.cpu += other.cpu
	for name, n := range other.problems {
		r.problems[name] += n
	}
	for name, n := range other.clients {
		c := r.clients[name]
		r.clients[name] = clientRates{c.requests + n.requests, c.misses + n.misses, c.denials + n.denials, c.limited + n.limited}
	}
}

// all returns the durations of all actions together.
func (r *rates) all() *histogram {
	h := new(histogram)
	for _, d := range r.durations {
		h.add(d)
	}
	return h
}

// perSecond returns the rate of an action, or NaN without rates.
func (r *rates) perSecond(action string) float64 {
	if r == nil {
		return math.NaN()
	}
	return r.durations[action].total()
}
