package cost

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the time that a process has run since it began, user and system, of all its threads, also of those that have
// ended; not of its children. It is the process's CPU clock, which counts nanoseconds (clock_getcpuclockid(3)), of a thread
// that is running up to the scheduler's last tick, 1 to 10 ms ago; /proc/PID/stat rounds the same to 10 ms, twice.
func CPU(pid int) (time.Duration, error) {
	if pid <= 0 { // 0 would be this process's own clock
		return 0, fmt.Errorf("CPU time of process %d: no such process can be", pid)
	}
	// The kernel's own encoding: the number's complement in the upper bits, 2 for the scheduler's clock below.
	const schedulerClock = 2
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &at); err != nil {
		return 0, fmt.Errorf("CPU time of process %d, which may have ended: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// RSS is the memory that a process has in RAM, in bytes, shared pages included: VmRSS of /proc/PID/status.
func RSS(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d, which may have ended: %w", pid, err)
	}
	return vmRSS(string(text))
}

// vmRSS reads a line such as
//
//	VmRSS:	   12345 kB
func vmRSS(status string) (int64, error) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil || kB < 0 {
			return 0, fmt.Errorf("VmRSS in /proc/PID/status is %q, not a number of kB", strings.TrimSpace(rest))
		}
		return kB << 10, nil
	}
	return 0, fmt.Errorf("/proc/PID/status has no VmRSS: the process has ended and was not waited for")
}
