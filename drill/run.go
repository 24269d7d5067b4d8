package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"userinfo/drill/judge"
	"userinfo/drill/report"
	"userinfo/internal/testcluster"
)

// settings are the flags that drills have in common.
type settings struct {
	rate    float64
	seed    uint64
	seconds int
	minutes float64
	out     string
	keep    bool
}

func (s *settings) flags(name string) *flag.FlagSet {
	f := s.commonFlags(name)
	f.IntVar(&s.seconds, "seconds", 30, "how long a fault lasts, unless its nature asks for more")
	f.BoolVar(&s.keep, "keep", false, "keep whole histories, not only what the report needs; those with a violation are always kept")
	return f
}

// commonFlags are those of watch too.
func (s *settings) commonFlags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.Float64Var(&s.rate, "rate", 100, "operations per second, of all datacentres together")
	f.Uint64Var(&s.seed, "seed", 0, "of the schedule; 0: a new one, which is printed")
	f.StringVar(&s.out, "out", "drill-results", "the `DIRECTORY` for results and the report")
	return f
}

func (s *settings) prepare(stdout io.Writer) error {
	if s.seed == 0 {
		s.seed = rand.Uint64N(1 << 32)
	}
	fmt.Fprintf(stdout, "seed %d\n", s.seed)
	return os.MkdirAll(s.out, 0o755)
}

func runFaults(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	flags := s.flags("drill faults")
	planted := flags.Bool("mutants", false, "then also the mutants, on the same installation")
	if !parse(flags, args, stderr) {
		return exitUsage
	}
	chosen := faults()
	if names := flags.Args(); len(names) > 0 {
		chosen = nil
		for _, name := range names {
			f, ok := faultNamed(name)
			if !ok {
				fmt.Fprintf(stderr, "drill faults: there is no fault %q; see drill list\n", name)
				return exitUsage
			}
			chosen = append(chosen, f)
		}
	}
	if err := s.prepare(stdout); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	var plans []plan
	for _, f := range chosen {
		plans = append(plans, plan{name: f.name, command: "faults " + f.name, faults: []step{{fault: f, length: s.length(f)}}})
	}
	var hunted []mutant
	if *planted {
		hunted = mutants()
	}
	return s.holdAll(ctx, "faults", plans, hunted, stdout, stderr)
}

func (s *settings) length(f fault) time.Duration {
	if f.length > 0 {
		return f.length
	}
	return time.Duration(s.seconds) * time.Second
}

func runMix(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	flags := s.flags("drill mix")
	flags.Float64Var(&s.minutes, "minutes", 30, "how long faults go on")
	each := flags.Bool("each", false, "every fault there is, once and as long as when it is alone, in random order, however long that takes")
	if !parse(flags, args, stderr) {
		return exitUsage
	}
	if err := s.prepare(stdout); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	p := s.mix()
	if *each {
		p = s.mixOfEach()
	}
	return s.holdAll(ctx, "mix", []plan{p}, nil, stdout, stderr)
}

// between is the pause between the faults of a mix of each: what the next is compared with.
const between = 8 * time.Second

// mixOfEach is every fault once, in random order, one after the other's recovery.
func (s *settings) mixOfEach() plan {
	random := rand.New(rand.NewPCG(s.seed, 1))
	p := plan{name: "mix-of-each", command: fmt.Sprintf("mix -each -seconds %d", s.seconds)}
	all := faults()
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		p.faults = append(p.faults, step{fault: f, length: s.length(f), pause: between})
	}
	return p
}

// mix is faults in random order, none twice in a row, until their time is over. Recovery takes about as long as a fault.
func (s *settings) mix() plan {
	random := rand.New(rand.NewPCG(s.seed, 1))
	p := plan{name: "mix", command: fmt.Sprintf("mix -minutes %g", s.minutes)}
	const overhead = 20 * time.Second // of a fault's recovery, usually
	last := ""
	for total := time.Duration(0); total < time.Duration(s.minutes*float64(time.Minute)); {
		all := slices.DeleteFunc(faults(), func(f fault) bool { return f.rare || f.name == last })
		f := all[random.IntN(len(all))]
		last = f.name
		most := min(s.length(f), 30*time.Second)
		step := step{fault: f, length: most/3 + time.Duration(random.Int64N(int64(most*2/3))), pause: time.Duration(random.IntN(5000)) * time.Millisecond}
		p.faults = append(p.faults, step)
		total += step.length + step.pause + overhead
	}
	return p
}

// holdAll holds drills one after another on one installation, judges each, hunts mutants, and writes a report.
func (s *settings) holdAll(ctx context.Context, title string, plans []plan, hunted []mutant, stdout, stderr io.Writer) int {
	f, err := newField(ctx, needs(plans), newLog(stderr))
	if err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	defer f.closeAndSay(ctx, stderr)
	if err := f.warmUp(ctx, s.rate); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	code := s.holdEach(ctx, f, plans, stdout, stderr)
	for n := range hunted {
		caught, err := s.hunt(ctx, f, &hunted[n], stdout)
		if err != nil {
			fmt.Fprintln(stderr, "drill:", hunted[n].name, err)
			code = exitFailed
		} else if !caught && code == exitOK {
			code = exitBroken
		}
	}
	return s.conclude(title, code, stdout, stderr)
}

// holdEach holds drills one after another, and goes on with the next where one could not be held.
func (s *settings) holdEach(ctx context.Context, f *field, plans []plan, stdout, stderr io.Writer) int {
	code := exitOK
	for n, p := range plans {
		p.rate = s.rate
		p.seed = s.seed + uint64(n)
		fmt.Fprintf(stdout, "\n%s (seed %d), %d of %d\n", p.name, p.seed, n+1, len(plans))
		summary, err := s.one(ctx, f, p, stdout)
		if ctx.Err() != nil {
			return exitFailed
		}
		if err != nil {
			fmt.Fprintln(stderr, "drill:", p.name, err)
			code = exitFailed
			if err := f.renew(ctx, s.rate, needs(plans)); err != nil {
				fmt.Fprintln(stderr, "drill: the installation cannot be put right:", err)
				return code
			}
			continue
		}
		if summary.Environment["ended early"]+summary.Environment["could not be played"] != "" {
			code = exitFailed
		} else if broken(summary.Verdicts) && code == exitOK {
			code = exitBroken
		}
		if err := writeReport(s.out, []string{s.out}); err != nil { // so that there is one however this ends
			fmt.Fprintln(stderr, "drill:", err)
		}
	}
	return code
}

// one holds a drill and writes down what came of it.
func (s *settings) one(ctx context.Context, f *field, p plan, stdout io.Writer) (report.Summary, error) {
	h, err := f.hold(ctx, p)
	if err != nil {
		return report.Summary{}, err
	}
	verdicts := judge.Evaluate(h)
	printVerdicts(stdout, h, verdicts)
	if s.keep || broken(verdicts) {
		if err := h.Write(filepath.Join(s.out, p.name+".history.json.gz")); err != nil {
			return report.Summary{}, err
		}
	}
	summary := report.Summarize(h, verdicts)
	return summary, summary.Write(filepath.Join(s.out, p.name+summarySuffix))
}

const summarySuffix = ".summary.json"

// renew starts a new installation where the old one may not be trusted any more.
func (f *field) renew(ctx context.Context, rate float64, needs testcluster.Options) error {
	if err := f.close(ctx); err != nil {
		say(f.log, "closing: %v", err)
	}
	fresh, err := newField(ctx, needs, f.log)
	if err != nil {
		return err
	}
	*f = *fresh
	return f.warmUp(ctx, rate)
}

func (f *field) closeAndSay(ctx context.Context, stderr io.Writer) {
	if err := f.close(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
	}
}

// conclude writes the report of everything in the directory.
func (s *settings) conclude(title string, code int, stdout, stderr io.Writer) int {
	if err := writeReport(s.out, []string{s.out}); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "\n%s: %s; the report is %s\n", title,
		map[int]string{exitOK: "no promise was broken", exitBroken: "PROMISES WERE BROKEN", exitFailed: "not all could be held"}[code],
		filepath.Join(s.out, "report.html"))
	return code
}

func needs(plans []plan) testcluster.Options {
	var o testcluster.Options
	for _, p := range plans {
		for _, step := range p.faults {
			o.SettableClocks = o.SettableClocks || step.needs.SettableClocks
			o.SmallDisk = o.SmallDisk || step.needs.SmallDisk
		}
	}
	return o
}
