// Package cost tells what processes have used: CPU time, memory, and heap allocations where a process tells them.
//
// Invariants: what is read between Start and Stop is the process's own, whoever started it, and of all its threads; what
// the reading itself allocates in a process is taken off; a process that has ended in between is an error, never a zero.
//
// It needs Linux, and processes that this machine's /proc shows: containers' too, other machines' not. It does not see
// what the kernel does for a process outside of its system calls, such as network interrupts.
package cost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"userinfo/bench/result"
)

// Process is one whose use is counted.
type Process struct {
	Kind string // as result.Cost has it: service, cassandra, redis, generator, sidecar, floor
	PID  int
	// Allocations are those since the process began; nil where they cannot be told.
	Allocations func(context.Context) (Allocations, error)
}

// Allocations of heap memory.
type Allocations struct {
	Mallocs int64 // objects
	Bytes   int64
}

func (a Allocations) minus(b Allocations) Allocations {
	return Allocations{a.Mallocs - b.Mallocs, a.Bytes - b.Bytes}
}

// Meter knows what processes had used when it was started.
type Meter struct {
	processes []Process
	began     []reading
}

// reading is one process at one time.
type reading struct {
	cpu         time.Duration
	allocations Allocations
	ofReading   Allocations // what one reading of allocations allocates itself
}

// Start notes what each process has used so far.
func Start(ctx context.Context, processes []Process) (*Meter, error) {
	m := &Meter{processes: processes, began: make([]reading, len(processes))}
	for i, p := range processes {
		if p.Allocations == nil {
			continue
		}
		began, err := begin(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("what %s has allocated: %w", p.Kind, err)
		}
		m.began[i] = began
	}
	// Last, so that no reading of allocations is counted.
	for i, p := range processes {
		var err error
		if m.began[i].cpu, err = CPU(p.PID); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Kind, err)
		}
	}
	return m, nil
}

// begin reads allocations three times: the first reading may have to connect, and the last sees what the one before it has
// allocated.
func begin(ctx context.Context, p Process) (reading, error) {
	var readings [3]Allocations
	for i := range readings {
		var err error
		if readings[i], err = p.Allocations(ctx); err != nil {
			return reading{}, err
		}
	}
	return reading{allocations: readings[2], ofReading: readings[2].minus(readings[1])}, nil
}

// Stop tells what each process has used since Start, in the order of Start.
func (m *Meter) Stop(ctx context.Context) ([]result.Cost, error) {
	costs := make([]result.Cost, len(m.processes))
	names := number(m.processes)
	var errs []error
	for i, p := range m.processes {
		cpu, err := CPU(p.PID)
		rss, errRSS := RSS(p.PID)
		if err := errors.Join(err, errRSS); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", names[i], err))
		}
		costs[i] = result.Cost{Process: names[i], Kind: p.Kind, CPU: cpu - m.began[i].cpu, RSS: rss}
	}
	for i, p := range m.processes {
		if p.Allocations == nil || len(errs) > 0 {
			continue
		}
		now, err := p.Allocations(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("what %s has allocated: %w", names[i], err))
		}
		used := now.minus(m.began[i].allocations).minus(m.began[i].ofReading)
		costs[i].Mallocs, costs[i].Alloc = max(used.Mallocs, 0), max(used.Bytes, 0)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return costs, nil
}

// number names processes: the kind alone where there is one of it, kind-1, kind-2, … where there are several.
func number(processes []Process) []string {
	total, seen := make(map[string]int), make(map[string]int)
	for _, p := range processes {
		total[p.Kind]++
	}
	names := make([]string, len(processes))
	for i, p := range processes {
		names[i] = p.Kind
		if total[p.Kind] > 1 {
			seen[p.Kind]++
			names[i] = fmt.Sprintf("%s-%d", p.Kind, seen[p.Kind])
		}
	}
	return names
}
