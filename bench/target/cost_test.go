package target

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"userinfo/bench/result"
)

// tick is the longest interval of a kernel's scheduler.
const tick = 10 * time.Millisecond

func used(t *testing.T, who int) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(who, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// burn uses CPU time in a thread that then ends. It returns how much.
func burn(t *testing.T) time.Duration {
	burnt := make(chan time.Duration)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		before := used(t, unix.RUSAGE_THREAD)
		now := before
		for now-before < 60*time.Millisecond {
			now = used(t, unix.RUSAGE_THREAD)
		}
		burnt <- now - before
	}()
	return <-burnt
}

// idleProcess starts a process that waits until stop is called.
func idleProcess(t *testing.T) (pid int, stop func()) {
	t.Helper()
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { _ = in.Close(); _ = c.Wait() }
	t.Cleanup(stop)
	return c.Process.Pid, stop
}

func TestCPU_MatchesGetrusage(t *testing.T) {
	before := used(t, unix.RUSAGE_SELF)
	got, err := CPU(os.Getpid())
	after := used(t, unix.RUSAGE_SELF)
	if err != nil || got < before-tick || got > after+tick {
		t.Errorf("CPU returns %v (%v), getrusage %v before and %v after", got, err, before, after)
	}
}

func TestMeter_CountsEachProcess(t *testing.T) {
	pid, _ := idleProcess(t)
	m, err := StartMeter([]Process{{result.KindRedis, pid}, {result.KindService, os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	burnt := burn(t)
	costs, err := m.Stop()
	if err != nil || len(costs) != 2 || costs[0].Kind != result.KindRedis || costs[1].Kind != result.KindService {
		t.Fatalf("costs are %+v (%v)", costs, err)
	}
	if costs[1].CPU < burnt-tick || costs[0].CPU > tick {
		t.Errorf("a thread that has ended used %v; the costs are %+v", burnt, costs)
	}
	for _, c := range costs {
		if c.RSS < 100<<10 || c.RSS > 8<<30 {
			t.Errorf("%s uses %d bytes of memory", c.Kind, c.RSS)
		}
	}
}

func TestMeter_ProcessThatHasEndedIsError(t *testing.T) {
	pid, stop := idleProcess(t)
	m, err := StartMeter([]Process{{result.KindService, pid}})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if costs, err := m.Stop(); err == nil || !strings.Contains(err.Error(), "service") {
		t.Errorf("costs are %+v, error %v", costs, err)
	}
	for _, pid := range []int{pid, 0, -1} {
		if _, err := StartMeter([]Process{{result.KindService, pid}}); err == nil {
			t.Errorf("process %d can be measured", pid)
		}
	}
}

func TestScheduleInBatches_SetsAllThreads(t *testing.T) {
	pid, stop := idleProcess(t)
	if err := ScheduleInBatches([]Process{{result.KindService, pid}}); err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*"))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads %v (%v)", threads, err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(id, 0); err != nil || attr.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d has %+v (%v)", id, attr, err)
		}
	}
	stop()
	if err := ScheduleInBatches([]Process{{result.KindService, pid}}); err == nil {
		t.Error("a process that has ended is no error")
	}
}
