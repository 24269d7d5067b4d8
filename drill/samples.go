package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
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

// metrics returns the metrics of an instance by name.
func (e *environment) metrics(ctx context.Context, i *fleet.Instance) (map[string]*dto.MetricFamily, error) {
	status, body, err := e.get(ctx, i, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("instance %s answered %d to /metrics", i.Name, status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(bytes.NewReader(body))
}

// sample measures an instance. It does not set the time of the sample.
func (e *environment) sample(ctx context.Context, i *fleet.Instance) (history.Sample, error) {
	metrics, err := e.metrics(ctx, i)
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
		Goroutines: gauge("go_goroutines"),
		FDs:        gauge("process_open_fds"),
		RSSBytes:   gauge("process_resident_memory_bytes"),
		InFlight:   max(0, gauge("userinfo_http_in_flight")-1), // without this request
		Streams:    gauge("userinfo_cassandra_attempts_in_flight"),
		Pending:    gauge("userinfo_pending_deletes"),
	}
	if math.IsNaN(s.Pending) { // the instance has not read every bucket yet; JSON has no NaN
		s.Pending = history.UnknownPending
	}
	s.Local, s.Remote, err = e.cassandraConnections(i)
	return s, err
}

// sampleAll measures all instances at once. It skips instances that do not answer.
func (e *environment) sampleAll(ctx context.Context, now func() time.Duration) []history.Sample {
	var mu sync.Mutex
	var samples []history.Sample
	var running sync.WaitGroup
	for _, i := range e.instances {
		running.Go(func() {
			if s, err := e.sample(ctx, i); err == nil {
				s.At = now()
				mu.Lock()
				defer mu.Unlock()
				samples = append(samples, s)
			}
		})
	}
	running.Wait()
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
			samples = append(samples, e.sampleAll(ctx, now)...)
			_ = sleep(ctx, sampleInterval)
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
