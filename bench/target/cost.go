package target

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"userinfo/bench/result"
)

// Process is a process whose cost is counted. It must run on this machine, in a container or not.
type Process struct {
	Kind string // result.KindService, …
	PID  int
}

// Meter knows how much CPU time processes had used when it was started.
type Meter struct {
	processes []Process
	before    []time.Duration
}

// StartMeter reads the CPU time of processes.
func StartMeter(processes []Process) (*Meter, error) {
	m := &Meter{processes: processes}
	for _, p := range processes {
		used, err := CPU(p.PID)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Kind, err)
		}
		m.before = append(m.before, used)
	}
	return m, nil
}

// Stop returns what each process has used since StartMeter. A process that has ended is an error, never a zero.
func (m *Meter) Stop() ([]result.Cost, error) {
	var costs []result.Cost
	for i, p := range m.processes {
		used, err := CPU(p.PID)
		rss, errRSS := RSS(p.PID)
		if err := errors.Join(err, errRSS); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Kind, err)
		}
		costs = append(costs, result.Cost{Kind: p.Kind, CPU: used - m.before[i], RSS: rss})
	}
	return costs, nil
}

// CPU returns the user and system time of all threads of a process since it began, including threads that have ended. It
// reads the process's CPU clock (clock_getcpuclockid(3)), which is more precise than /proc/PID/stat.
func CPU(pid int) (time.Duration, error) {
	if pid <= 0 { // 0 would be this process's own clock
		return 0, fmt.Errorf("%d is not a process", pid)
	}
	const schedulerClock = 2 // the kernel's encoding of a clock: the number's complement, and the kind of clock below
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &at); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d, which may have ended: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// RSS returns the resident memory of a process in bytes, with shared pages: the second field of /proc/PID/statm.
func RSS(pid int) (int64, error) {
	var size, resident int64
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err == nil {
		_, err = fmt.Sscan(string(text), &size, &resident)
	}
	if err == nil && resident == 0 {
		err = os.ErrProcessDone
	}
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d, which may have ended: %w", pid, err)
	}
	return resident * int64(os.Getpagesize()), nil
}

// ScheduleInBatches sets SCHED_BATCH for all threads of processes, and so for the threads that they start later. A thread
// that wakes up then waits for its turn instead of interrupting another one. Where a service and its database share cores,
// this saves up to three interruptions per request.
func ScheduleInBatches(processes []Process) error {
	for _, p := range processes {
		out, err := exec.Command("chrt", "--all-tasks", "--batch", "--pid", "0", strconv.Itoa(p.PID)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("setting the scheduling policy of process %d (%s) with chrt (-plain does without): %w: %s", p.PID, p.Kind, err, out)
		}
	}
	return nil
}
