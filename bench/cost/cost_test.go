package cost

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// used is what the kernel says of this process, or of this thread, in its other way.
func used(t *testing.T, who int) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(who, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// tick is the longest that a kernel is built with.
const tick = 10 * time.Millisecond

func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	d, err := CPU(pid)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// burn uses CPU time of a thread of its own, which then ends, and returns how much.
func burn(t *testing.T, atLeast time.Duration) time.Duration {
	burnt := make(chan time.Duration)
	go func() {
		runtime.LockOSThread()                // for good, so that the thread ends with the goroutine
		before := used(t, unix.RUSAGE_THREAD) // it may have served others
		now := before
		for now-before < atLeast {
			now = used(t, unix.RUSAGE_THREAD)
		}
		burnt <- now - before
	}()
	return <-burnt
}

func TestCPUIsWhatTheKernelCharges(t *testing.T) {
	before := used(t, unix.RUSAGE_SELF)
	got := cpu(t, os.Getpid())
	after := used(t, unix.RUSAGE_SELF)
	if got < before-tick || got > after+tick {
		t.Errorf("CPU is %v, and getrusage said %v before and %v after", got, before, after)
	}
}

func TestCPUOfThreadsThatHaveEndedCounts(t *testing.T) {
	before := cpu(t, os.Getpid())
	burnt := burn(t, 60*time.Millisecond)
	if got := cpu(t, os.Getpid()) - before; got < burnt-tick {
		t.Errorf("a thread has used %v, and the process %v", burnt, got)
	}
}

// idle starts a process that does nothing until stop is called.
func idle(t *testing.T) (pid int, stop func()) {
	t.Helper()
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		if err := errors.Join(in.Close(), c.Wait()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return c.Process.Pid, stop
}

func TestTheMeterChargesEachProcessWithItsOwn(t *testing.T) {
	pid, _ := idle(t)
	m, err := Start(t.Context(), []Process{{Kind: "idle", PID: pid}, {Kind: "busy", PID: os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	burnt := burn(t, 60*time.Millisecond)
	costs, err := m.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(costs) != 2 || costs[0].Process != "idle" || costs[1].Process != "busy" {
		t.Fatalf("costs are %+v", costs)
	}
	if costs[1].CPU < burnt-tick || costs[0].CPU > tick {
		t.Errorf("one thread has used %v; the meter says idle %v, busy %v", burnt, costs[0].CPU, costs[1].CPU)
	}
	for _, c := range costs {
		if c.RSS < 100<<10 || c.RSS > 8<<30 {
			t.Errorf("%s has %d bytes in memory", c.Process, c.RSS)
		}
	}
}

func TestAProcessThatHasEndedIsAnErrorThatNamesIt(t *testing.T) {
	pid, stop := idle(t)
	m, err := Start(t.Context(), []Process{{Kind: "service", PID: pid}})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if costs, err := m.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "service") {
		t.Errorf("costs of an ended process are %+v, error %v", costs, err)
	}
	if _, err := Start(t.Context(), []Process{{Kind: "service", PID: pid}}); err == nil {
		t.Error("an ended process can be metered")
	}
	if _, err := Start(t.Context(), []Process{{Kind: "service"}}); err == nil {
		t.Error("a process without number can be metered")
	}
}

func TestSeveralOfAKindAreNumbered(t *testing.T) {
	got := number([]Process{{Kind: "service"}, {Kind: "cassandra"}, {Kind: "cassandra"}})
	if want := "service cassandra-1 cassandra-2"; strings.Join(got, " ") != want {
		t.Errorf("names are %q, want %s", got, want)
	}
}

func TestWhatReadingAllocatesIsTakenOff(t *testing.T) {
	heap, connecting := Allocations{}, int64(1000) // which the first reading has to do
	process := Process{Kind: "service", PID: os.Getpid(), Allocations: func(context.Context) (Allocations, error) {
		now := heap
		heap.Mallocs, heap.Bytes = heap.Mallocs+3+connecting, heap.Bytes+300+connecting
		connecting = 0
		return now, nil
	}}
	m, err := Start(t.Context(), []Process{process})
	if err != nil {
		t.Fatal(err)
	}
	heap.Mallocs, heap.Bytes = heap.Mallocs+7, heap.Bytes+1000
	costs, err := m.Stop(t.Context())
	if err != nil || costs[0].Mallocs != 7 || costs[0].Alloc != 1000 {
		t.Errorf("costs are %+v, %v; want 7 objects of 1000 bytes", costs, err)
	}
}

func TestAllocationsComeFromAGoProgramsMetrics(t *testing.T) {
	const good = "# TYPE go_memstats_alloc_bytes_total counter\ngo_memstats_alloc_bytes_total 1.5e+06\n" +
		"# TYPE go_memstats_mallocs_total counter\ngo_memstats_mallocs_total 12345\n"
	for name, c := range map[string]struct {
		status int
		body   string
		want   Allocations
		err    string
	}{
		"both":           {200, good, Allocations{12345, 1500000}, ""},
		"no go metrics":  {200, "up 1\n", Allocations{}, "go_memstats_mallocs_total"},
		"not a counter":  {200, strings.ReplaceAll(good, "counter", "gauge"), Allocations{}, "go_memstats_mallocs_total"},
		"no metrics":     {200, "{}", Allocations{}, "reading metrics"},
		"not allowed to": {403, good, Allocations{}, "metrics:get"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			request, err := http.NewRequest(http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := FromMetrics(server.Client(), request)(t.Context())
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("allocations are %+v, %v; want %+v, %q", got, err, c.want, c.err)
			}
		})
	}
}

func FuzzVmRSS(f *testing.F) {
	for _, seed := range []string{"Name:\tcat\nVmRSS:\t    1234 kB\n", "VmRSS:\t-1 kB\n", "VmRSS:", "", "VmRSS:\t99999999999999999999 kB\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, status string) {
		n, err := vmRSS(status)
		if err == nil && !strings.Contains(status, "VmRSS:") || err != nil && n != 0 {
			t.Errorf("%q has %d bytes, %v", status, n, err)
		}
	})
}
