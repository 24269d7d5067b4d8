package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"userinfo/bench/cost"
)

// batch has processes run under SCHED_BATCH, all their threads and those to come: what wakes up then waits for its turn
// in place of breaking off what runs. Where a service and its database share cores, each answer wakes somebody, who would
// break off whoever has sent it, up to three times for a get.
func batch(all []cost.Process) error {
	for _, p := range all {
		if err := batchOne(p.PID); err != nil {
			return fmt.Errorf("scheduling of process %d (%s): %w", p.PID, p.Kind, err)
		}
	}
	return nil
}

// batchOne looks until there is no thread that it has not seen, as one may make others meanwhile. They inherit the policy.
func batchOne(pid int) error {
	seen := make(map[string]bool)
	for {
		threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "[0-9]*"))
		if err != nil || len(threads) == 0 {
			return errors.Join(err, os.ErrProcessDone)
		}
		before := len(seen)
		for _, t := range threads {
			if seen[t] {
				continue
			}
			seen[t] = true
			id, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				return err
			}
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}, 0)
			if err != nil && !errors.Is(err, unix.ESRCH) { // a thread that has ended needs none
				return err
			}
		}
		if len(seen) == before {
			return nil
		}
	}
}
