package main

import (
	"io"
	"net"
	"os"
	"testing"

	psnet "github.com/shirou/gopsutil/v4/net"
)

func TestKeepMetrics_KeepsTypeAndSamplesOfNamedMetrics(t *testing.T) {
	const text = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n# TYPE b_seconds histogram\nb_seconds_sum{x=\"a_total\"} 2\n# TYPE c gauge\nc 3\n"
	const want = "# TYPE b_seconds histogram\nb_seconds_sum{x=\"a_total\"} 2\n# TYPE c gauge\nc 3\n"
	if got := string(keepMetrics([]byte(text), []string{"b_seconds", "c"})); got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if got := keepMetrics([]byte(text), nil); len(got) > 0 {
		t.Errorf("without names, kept %q", got)
	}
}

// The count of connections to Cassandra depends on how the library reports the remote end of a connection.
func TestConnections_ReportTheRemoteEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func(c io.Closer) { _ = c.Close() }(c)
	all, err := psnet.ConnectionsPid("tcp", int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range all {
		if found.Raddr.IP == "127.0.0.1" && int(found.Raddr.Port) == l.Addr().(*net.TCPAddr).Port && found.Status == "ESTABLISHED" {
			return
		}
	}
	t.Errorf("the connection to %v is missing in %+v", l.Addr(), all)
}
