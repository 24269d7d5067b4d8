package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"userinfo/drill/report"
)

// settings are the flags that several subcommands share.
type settings struct {
	rate    float64
	seed    uint64
	seconds int
	minutes float64
	out     string
	keep    bool
	resume  bool
}

// define defines the flags of the subcommands that inject faults.
func (s *settings) define(f *flag.FlagSet) {
	s.defineLoad(f)
	f.IntVar(&s.seconds, "seconds", 20, "length of a fault in seconds, unless the fault has its own length")
	f.BoolVar(&s.resume, "resume", false, "leave out the drills that have complete results in -out already")
	f.BoolVar(&s.keep, "keep", false, "keep the history and the instances' logs of every drill; by default only those with a violation are kept")
}

// defineLoad defines the flags of all subcommands that run a load.
func (s *settings) defineLoad(f *flag.FlagSet) {
	f.Float64Var(&s.rate, "rate", 60, "operations per second, in all datacentres together")
	f.Uint64Var(&s.seed, "seed", rand.Uint64N(1<<32), "seed of the schedule; by default a random number")
	f.StringVar(&s.out, "out", "drill-results", "`DIRECTORY` for results and the report")
}

// prepare prints the seed and creates the directory for results.
func (s *settings) prepare(stdout io.Writer) error {
	fmt.Fprintf(stdout, "seed %d\n", s.seed)
	return os.MkdirAll(s.out, 0o755)
}

func setupFaults(flags *flag.FlagSet) runFunc {
	var s settings
	s.define(flags)
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
		chosen, err := choose(args, faults(), faultNamed, "fault")
		if err != nil {
			return 0, err
		}
		var plans []plan
		for _, f := range chosen {
			plans = append(plans, s.faultPlan(f))
		}
		return s.runAll(ctx, plans, stdout, stderr)
	}
}

func setupMutants(flags *flag.FlagSet) runFunc {
	var s settings
	s.define(flags)
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
		chosen, err := choose(args, mutants(), mutantNamed, "mutant")
		if err != nil {
			return 0, err
		}
		var plans []plan
		for _, m := range chosen {
			p, err := s.mutantPlan(m)
			if err != nil {
				return 0, err
			}
			plans = append(plans, p)
		}
		return s.runAll(ctx, plans, stdout, stderr)
	}
}

func setupMix(flags *flag.FlagSet) runFunc {
	var s settings
	s.define(flags)
	flags.Float64Var(&s.minutes, "minutes", 30, "total length in minutes")
	each := flags.Bool("each", false, "inject every fault once in its full length, instead of -minutes")
	return func(ctx context.Context, _ []string, stdout, stderr io.Writer) (int, error) {
		p := s.mixPlan()
		if *each {
			p = s.mixOfEachPlan()
		}
		return s.runAll(ctx, []plan{p}, stdout, stderr)
	}
}

// choose returns the elements with the given names, or all elements if there are no names.
func choose[T any](names []string, all []T, named func(string) (T, bool), kind string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []T
	for _, name := range names {
		x, ok := named(name)
		if !ok {
			return nil, usageError(fmt.Sprintf("unknown %s %q; drill list shows all", kind, name))
		}
		chosen = append(chosen, x)
	}
	return chosen, nil
}

// runAll starts an environment, runs drills on it one after another, and writes a report.
func (s *settings) runAll(ctx context.Context, plans []plan, stdout, stderr io.Writer) (code int, err error) {
	if err := s.prepare(stdout); err != nil {
		return 0, err
	}
	if s.resume {
		plans = slices.DeleteFunc(plans, s.isDone)
	}
	if len(plans) == 0 {
		return s.finish(exitOK, stdout)
	}
	options := clusterOptions(plans)
	e, err := newEnvironment(ctx, options, newLog(stderr))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.close(context.WithoutCancel(ctx))) }()
	if err := e.warmUp(ctx, s.rate); err != nil {
		return 0, err
	}
	began := time.Now()
	for n, p := range plans {
		p.rate, p.seed = s.rate, s.seed+uint64(n)
		fmt.Fprintf(stdout, "\n%s (seed %d), %d of %d, %v after the start\n", p.name, p.seed, n+1, len(plans), time.Since(began).Round(time.Second))
		result, err := s.runOne(ctx, e, p, stdout)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(stderr, "drill: %s: %v\n", p.name, err)
			result = exitFailed
			if err := e.replace(ctx, options, s.rate); err != nil {
				return 0, fmt.Errorf("starting a new installation: %w", err)
			}
		}
		code = max(code, result)
		if err := writeReport(s.out, s.out); err != nil { // now, in case a later drill is interrupted
			fmt.Fprintln(stderr, "drill:", err)
		}
	}
	return s.finish(code, stdout)
}

// runOne runs a drill, judges it and saves the results. A drill with a planted bug is OK if the bug is caught.
func (s *settings) runOne(ctx context.Context, e *environment, p plan, stdout io.Writer) (code int, err error) {
	if p.mutant != nil {
		if e.unreadableBucket { // after scan-stops; new instances would never know how many deletes are pending
			if err := makeBucketReadable(ctx, &run{environment: e}); err != nil {
				return 0, err
			}
		}
		if err := e.deploy(ctx, p.mutant); err != nil {
			return 0, err
		}
	}
	h, err := e.runPlan(ctx, p)
	if err != nil {
		return 0, err
	}
	summary, err := s.judge(h, stdout)
	if err != nil {
		return 0, err
	}
	broken := promiseBroken(summary.Verdicts)
	if p.mutant != nil {
		caught := p.mutant.result(summary).Caught()
		fmt.Fprintf(stdout, "%s: %s\n", p.mutant.name, map[bool]string{true: "caught", false: "NOT CAUGHT"}[caught])
		broken = !caught
	}
	switch {
	case !wasComplete(h.Environment):
		code = exitFailed
	case broken:
		code = exitBroken
	}
	if s.keep || broken {
		err = errors.Join(s.saveHistory(h), s.saveLogs(p.name, e.instances))
	}
	return code, err
}

// isDone reports whether the directory for results has a complete result of the plan.
func (s *settings) isDone(p plan) bool {
	old, err := report.ReadSummary(filepath.Join(s.out, p.name+summarySuffix))
	return err == nil && wasComplete(old.Environment)
}

// wasComplete reports whether a drill injected all its faults and saw the recovery from them.
func wasComplete(environment map[string]string) bool {
	return environment["ended early"]+environment["could not be injected"] == ""
}
