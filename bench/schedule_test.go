package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"userinfo/bench/cost"
)

func TestEveryThreadOfAProcessIsScheduledInBatches(t *testing.T) {
	other := exec.Command("cat") // until its input ends
	end, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = end.Close(); _ = other.Wait() }()
	if err := batch([]cost.Process{{Kind: "service", PID: other.Process.Pid}}); err != nil {
		t.Fatal(err)
	}
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(other.Process.Pid), "task", "*"))
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			t.Fatal(err)
		}
		if is, err := unix.SchedGetAttr(id, 0); err != nil || is.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d: %+v, %v", id, is, err)
		}
	}
	if len(threads) == 0 {
		t.Error("no thread was looked at")
	}
}

func TestSchedulingAProcessThatHasEndedIsAnError(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if err := batch([]cost.Process{{Kind: "service", PID: ended.Process.Pid}}); err == nil {
		t.Error("no error")
	}
}
