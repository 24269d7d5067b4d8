package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/shirou/gopsutil/v4/net"

	"userinfo/drill/history"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// metrics returns those metrics of an instance whose names begin with one of prefixes, by name.
func (e *environment) metrics(ctx context.Context, i *fleet.Instance, prefixes ...string) (map[string]*dto.MetricFamily, error) {
	status, body, err := e.get(ctx, i, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("instance %s answered %d to /metrics", i.Name, status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(bytes.NewReader(keepMetrics(body, prefixes)))
}

// keepMetrics returns the lines of text about metrics whose names begin with one of prefixes. Parsing all metrics of all
// instances at once takes so much CPU on a small machine that it shows in the latency of the requests.
func keepMetrics(text []byte, prefixes []string) (kept []byte) {
	for line := range bytes.Lines(text) {
		name := line
		for _, comment := range []string{"# HELP ", "# TYPE "} {
			name = bytes.TrimPrefix(name, []byte(comment))
		}
		if slices.ContainsFunc(prefixes, func(p string) bool { return bytes.HasPrefix(name, []byte(p)) }) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// Names of the metrics in a sample.
const (
	goroutines       = "go_goroutines"
	openFDs          = "process_open_fds"
	residentBytes    = "process_resident_memory_bytes"
	httpInFlight     = "userinfo_http_in_flight"
	attemptsInFlight = "userinfo_cassandra_attempts_in_flight"
	pendingDeletes   = "userinfo_pending_deletes"
	unreadable       = "userinfo_pending_deletes_unreadable_buckets" // pendingDeletes, as a prefix, selects it too
)

// sample measures an instance. It does not set the time of the sample.
func (e *environment) sample(ctx context.Context, i *fleet.Instance) (history.Sample, error) {
	metrics, err := e.metrics(ctx, i, goroutines, openFDs, residentBytes, httpInFlight, attemptsInFlight, pendingDeletes)
	if err != nil {
		return history.Sample{}, err
	}
	gauge := func(name string) (sum float64) {
		for _, m := range metrics[name].GetMetric() {
			sum += m.GetGauge().GetValue()
		}
		return sum
	}
	s := history.Sample{
		Instance: i.Name, Run: i.Run(),
		Goroutines: gauge(goroutines),
		FDs:        gauge(openFDs),
		RSSBytes:   gauge(residentBytes),
		InFlight:   max(0, gauge(httpInFlight)-1), // without this request
		Streams:    gauge(attemptsInFlight),
		Pending:    gauge(pendingDeletes),
		Unreadable: gauge(unreadable),
	}
	if math.IsNaN(s.Pending) { // the instance has not read every bucket yet; JSON has no NaN
		s.Pending = history.UnknownPending
	}
	s.Local, s.Remote, err = e.cassandraConnections(i)
	return s, err
}

// sampleAll measures all instances that answer, one after another, and pauses after each of them.
func (e *environment) sampleAll(ctx context.Context, now func() time.Duration, pause time.Duration) (samples []history.Sample) {
	for _, i := range e.instances {
		if s, err := e.sample(ctx, i); err == nil {
			s.At = now()
			samples = append(samples, s)
		}
		_ = sleep(ctx, pause)
	}
	return samples
}

// sampleInterval is the time between two samples of an instance.
const sampleInterval = 2 * time.Second

// startSampler measures the instances until stop is called. stop returns all samples.
func (e *environment) startSampler(ctx context.Context, now func() time.Duration) (stop func() []history.Sample) {
	ctx, cancel := context.WithCancel(ctx)
	var samples []history.Sample
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			samples = append(samples, e.sampleAll(ctx, now, sampleInterval/time.Duration(len(e.instances)))...)
		}
	})
	return func() []history.Sample {
		cancel()
		running.Wait()
		return samples
	}
}

// cassandraConnections counts the TCP connections of an instance to Cassandra nodes of its own datacentre and of others. It
// asks the kernel, not the service.
func (e *environment) cassandraConnections(i *fleet.Instance) (local, remote int, err error) {
	datacentre := make(map[string]string) // by address
	for _, n := range e.cluster.Nodes("") {
		datacentre[n.Address] = n.Datacentre
	}
	connections, err := net.ConnectionsPid("tcp", int32(i.PID()))
	for _, c := range connections {
		dc, isNode := datacentre[c.Raddr.IP]
		switch {
		case !isNode || c.Raddr.Port != testcluster.Port || c.Status != "ESTABLISHED":
		case dc == i.Datacentre:
			local++
		default:
			remote++
		}
	}
	return local, remote, err
}
