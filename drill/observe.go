package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"userinfo/drill/history"
	"userinfo/drill/load"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// observer is a client whose requests are not the load's: a connection for each, so that it holds nothing up.
func (f *field) observer() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.fleet.CAPool(), MinVersion: tls.VersionTLS13}, DisableKeepAlives: true,
	}}
}

func buffered(r io.Reader) io.Reader {
	text, _ := io.ReadAll(r) // what is cut off does not parse
	return bytes.NewReader(text)
}

// metrics are an instance's, by name.
func (f *field) metrics(ctx context.Context, i *fleet.Instance) (map[string]*dto.MetricFamily, error) {
	status, body, err := f.ask(ctx, i, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the metrics of %s are answered %d", i.Name, status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(body)
}

// scrape takes a sample of an instance. At is left to the caller.
func (f *field) scrape(ctx context.Context, i *fleet.Instance) (history.Sample, error) {
	all, err := f.metrics(ctx, i)
	if err != nil {
		return history.Sample{}, err
	}
	gauge := func(name string) (sum float64) {
		for _, m := range all[name].GetMetric() {
			sum += m.GetGauge().GetValue()
		}
		return sum
	}
	s := history.Sample{
		Instance: i.Name, Run: i.Run(),
		Goroutines: gauge("go_goroutines"),
		FDs:        gauge("process_open_fds"),
		RSSBytes:   gauge("process_resident_memory_bytes"),
		InFlight:   max(0, gauge("userinfo_http_in_flight")-1), // the scrape itself
		Streams:    gauge("userinfo_cassandra_attempts_in_flight"),
		Pending:    gauge("userinfo_pending_deletes"),
	}
	s.Local, s.Remote, err = f.connections(i)
	return s, err
}

// connections counts an instance's connections to Cassandra nodes of its own datacentre and of others, as the kernel
// has them.
func (f *field) connections(i *fleet.Instance) (local, remote int, err error) {
	datacentre := make(map[string]string)
	for _, n := range f.cluster.Nodes("") {
		datacentre[n.Address] = n.Datacentre
	}
	proc := fmt.Sprintf("/proc/%d", i.PID())
	mine := make(map[string]bool)
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return 0, 0, err
	}
	for _, fd := range fds {
		if link, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil && strings.HasPrefix(link, "socket:[") {
			mine[link[len("socket:["):len(link)-1]] = true
		}
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, table))
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(text)) {
			address, port, inode := remoteEnd(line)
			dc, node := datacentre[address]
			switch {
			case !node || port != testcluster.Port || !mine[inode]:
			case dc == i.Datacentre:
				local++
			default:
				remote++
			}
		}
	}
	return local, remote, nil
}

// remoteEnd reads a line of /proc/PID/net/tcp or tcp6 (proc(5)): an established connection's other end and its inode.
//
//	sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
//	 1: 0100007F:0CEA 0B00D50A:2352 01 …                                                   12345
//
// Addresses are words of 32 bits in this machine's byte order: here, the last byte first.
func remoteEnd(line string) (address string, port int, inode string) {
	const established = "01"
	columns := strings.Fields(line)
	if len(columns) < 10 || columns[3] != established {
		return "", 0, ""
	}
	host, hexPort, _ := strings.Cut(columns[2], ":")
	n, err := strconv.ParseUint(host[max(0, len(host)-8):], 16, 32) // IPv4, or the end of ::ffff:IPv4
	p, err2 := strconv.ParseUint(hexPort, 16, 16)
	if err != nil || err2 != nil {
		return "", 0, ""
	}
	return fmt.Sprintf("%d.%d.%d.%d", byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), int(p), columns[9]
}

// watcher takes samples until it is stopped.
type watcher struct {
	field   *field
	now     func() time.Duration
	samples []history.Sample
	stop    chan struct{}
	ended   chan struct{}
}

const sampleInterval = 2 * time.Second

func (f *field) watch(ctx context.Context, now func() time.Duration) *watcher {
	w := &watcher{field: f, now: now, stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for {
			w.take(ctx)
			select {
			case <-w.stop:
				return
			case <-time.After(sampleInterval):
			}
		}
	}()
	return w
}

// take samples all instances at once, and leaves out those that do not answer.
func (w *watcher) take(ctx context.Context) {
	found := make([]*history.Sample, len(w.field.instances))
	var asked sync.WaitGroup
	for n, i := range w.field.instances {
		asked.Go(func() {
			if s, err := w.field.scrape(ctx, i); err == nil {
				s.At = w.now()
				found[n] = &s
			}
		})
	}
	asked.Wait()
	for _, s := range found {
		if s != nil {
			w.samples = append(w.samples, *s)
		}
	}
}

func (w *watcher) end() []history.Sample {
	close(w.stop)
	<-w.ended
	return w.samples
}

// tally is what instances have counted themselves, by instance and run.
type tally map[load.Answer]int

var methods = map[string]history.Method{
	http.MethodGet: history.Get, http.MethodPut: history.Set, http.MethodPatch: history.Touch, http.MethodDelete: history.Delete,
}

// tallies are the metrics' and the logs' counts as they are now.
func (f *field) tallies(ctx context.Context) (metrics, logs tally, err error) {
	metrics, logs = make(tally), make(tally)
	for _, i := range f.instances {
		all, err := f.metrics(ctx, i)
		if err != nil {
			return nil, nil, fmt.Errorf("counting what %s has answered: %w", i.Name, err)
		}
		for _, m := range all["userinfo_http_request_seconds"].GetMetric() {
			label := make(map[string]string)
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			if label["route"] == "/sessions/v1/:key" {
				status, _ := strconv.Atoi(label["status"])
				metrics[load.Answer{Instance: i.Name, Run: i.Run(), Method: methods[label["method"]], Status: status}] = int(m.GetHistogram().GetSampleCount())
			}
		}
		logs.add(i.Name, i.Run(), i.RequestCounts())
	}
	for _, k := range f.killed {
		logs.add(k.instance.Name, k.run, k.logged)
	}
	return metrics, logs, nil
}

func (t tally) add(instance string, run int, logged map[fleet.LoggedRequest]int) {
	for r, n := range logged {
		t[load.Answer{Instance: instance, Run: run, Method: methods[r.Method], Status: r.Status}] += n
	}
}

// counts compares what clients, metrics and logs have counted since before. The metrics of a run that was killed are
// gone with it: -1.
func (f *field) counts(clients map[load.Answer]int, metrics, logs, metricsBefore, logsBefore tally) []history.Count {
	gone := make(map[string]bool)
	for _, k := range f.killed {
		gone[fmt.Sprint(k.instance.Name, k.run)] = true
	}
	all := make(map[load.Answer]bool)
	for a := range clients {
		all[a] = true
	}
	for a := range metrics {
		all[a] = true
	}
	for a := range logs {
		all[a] = true
	}
	var counts []history.Count
	for a := range all {
		c := history.Count{
			Instance: a.Instance, Run: a.Run, Method: a.Method, Status: a.Status,
			Clients: clients[a], Metrics: metrics[a] - metricsBefore[a], Log: logs[a] - logsBefore[a],
		}
		if gone[fmt.Sprint(a.Instance, a.Run)] {
			c.Metrics = -1
		}
		if c.Clients != 0 || c.Metrics > 0 || c.Log != 0 {
			counts = append(counts, c)
		}
	}
	return counts
}
