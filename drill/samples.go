package main

import (
	"bytes"
	"context"
	"fmt"
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

// sampler measures the instances until it is stopped.
type sampler struct {
	cancel  context.CancelFunc
	done    chan struct{}
	samples []history.Sample // complete when done is closed
}

func (e *environment) startSampler(ctx context.Context, now func() time.Duration) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			s.samples = append(s.samples, e.sampleAll(ctx, now)...)
			_ = sleep(ctx, sampleInterval)
		}
	}()
	return s
}

// stop stops the sampler and returns all samples.
func (s *sampler) stop() []history.Sample {
	s.cancel()
	<-s.done
	return s.samples
}

// cassandraConnections counts the TCP connections of an instance to Cassandra nodes of its own datacentre and of others. It
// asks the kernel, not the service.
func (e *environment) cassandraConnections(i *fleet.Instance) (local, remote int, err error) {
	datacentre := make(map[string]string) // by address
	for _, n := range e.cluster.Nodes("") {
		datacentre[n.Address] = n.Datacentre
	}
	proc := fmt.Sprintf("/proc/%d", i.PID())
	sockets, err := socketInodes(proc)
	if err != nil {
		return 0, 0, err
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, table))
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(text)) {
			address, port, inode := parseTCPLine(line)
			dc, isNode := datacentre[address]
			switch {
			case !isNode || port != testcluster.Port || !sockets[inode]:
			case dc == i.Datacentre:
				local++
			default:
				remote++
			}
		}
	}
	return local, remote, nil
}

// socketInodes returns the inodes of the open sockets of a process.
func socketInodes(proc string) (map[string]bool, error) {
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return nil, err
	}
	inodes := make(map[string]bool)
	for _, fd := range fds {
		link, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// parseTCPLine returns the remote address and the inode of an established connection in a line of /proc/PID/net/tcp or tcp6
// (see proc(5)). It returns "" for all other lines.
//
//	sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
//	 1: 0100007F:0CEA 0B00D50A:2352 01 …                                                   12345
//
// An address is a sequence of 32-bit words in host byte order; parseTCPLine expects little-endian.
func parseTCPLine(line string) (address string, port int, inode string) {
	const established = "01"
	columns := strings.Fields(line)
	if len(columns) < 10 || columns[3] != established {
		return "", 0, ""
	}
	host, hexPort, _ := strings.Cut(columns[2], ":")
	ipv4, err := strconv.ParseUint(host[max(0, len(host)-8):], 16, 32) // also the end of an IPv4-mapped IPv6 address
	n, err2 := strconv.ParseUint(hexPort, 16, 16)
	if err != nil || err2 != nil {
		return "", 0, ""
	}
	return fmt.Sprintf("%d.%d.%d.%d", byte(ipv4), byte(ipv4>>8), byte(ipv4>>16), byte(ipv4>>24)), int(n), columns[9]
}
