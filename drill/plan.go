package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"userinfo/drill/judge"
	"userinfo/internal/testcluster"
)

// plan describes one drill.
type plan struct {
	name   string
	verb   string // subcommand that repeats the drill
	args   string // its arguments, without seed and rate
	seed   uint64
	rate   float64 // operations per second
	steps  []step
	mutant *mutant // planted bug, or nil

	passwords bool // the load uses passwords, not sessions
}

// step is a fault of a drill.
type step struct {
	fault
	length time.Duration
	pause  time.Duration // after recovery from the fault
}

// command returns the command that repeats the drill.
func (p plan) command() string {
	return fmt.Sprintf("go run ./drill %s -seed %d -rate %g %s", p.verb, p.seed, p.rate, p.args)
}

// clusterOptions returns the options that the faults of all plans need.
func clusterOptions(plans []plan) testcluster.Options {
	var o testcluster.Options
	for _, p := range plans {
		for _, s := range p.steps {
			o.SettableClocks = o.SettableClocks || s.needs.SettableClocks
			o.SmallDisk = o.SmallDisk || s.needs.SmallDisk
		}
	}
	return o
}

// lengthOf returns how long a fault lasts.
func (s *settings) lengthOf(f fault) time.Duration {
	if f.length > 0 {
		return f.length
	}
	return time.Duration(s.seconds) * time.Second
}

// faultPlan returns a drill with one fault.
func (s *settings) faultPlan(f fault) plan {
	return plan{name: f.name, verb: "faults", args: fmt.Sprintf("-seconds %d %s", s.seconds, f.name), steps: []step{{fault: f, length: s.lengthOf(f)}}}
}

// passwordPlan returns a drill of passwords with one fault.
func (s *settings) passwordPlan(f fault) (plan, error) {
	if f.clockSkew+f.cassandraSkew > 0 {
		return plan{}, usageError(fmt.Sprintf("fault %s sets clocks, and passwords promise nothing if clocks are wrong", f.name))
	}
	p := s.faultPlan(f)
	p.name, p.verb, p.passwords = passwordPrefix+f.name, "passwords", true
	return p, nil
}

// mutantPlan returns a drill with a planted bug.
func (s *settings) mutantPlan(m mutant) (plan, error) {
	f, ok := faultNamed(m.fault)
	if !ok {
		return plan{}, fmt.Errorf("mutant %s needs the unknown fault %q", m.name, m.fault)
	}
	p := s.faultPlan(f)
	p.name, p.verb, p.args, p.seed, p.rate, p.mutant = mutantPrefix+m.name, "mutants", fmt.Sprintf("-seconds %d %s", s.seconds, m.name), s.seed, s.rate, &m
	p.passwords = slices.Contains(judge.PasswordInvariants, m.invariant) && !slices.Contains(judge.Invariants, m.invariant)
	return p, nil
}

// mixPlan returns a drill with faults in random order until their time is over. No fault follows itself.
func (s *settings) mixPlan() plan {
	random := rand.New(rand.NewPCG(s.seed, 1))
	p := plan{name: "mix", verb: "mix", args: fmt.Sprintf("-minutes %g -seconds %d", s.minutes, s.seconds)}
	const recovery = 30 * time.Second // usual time of recovery, and until the load is calm
	last := ""
	for total := time.Duration(0); total < time.Duration(s.minutes*float64(time.Minute)); {
		all := slices.DeleteFunc(faults(), func(f fault) bool { return f.rare || f.name == last })
		f := all[random.IntN(len(all))]
		last = f.name
		longest := min(s.lengthOf(f), 30*time.Second)
		length := longest/3 + time.Duration(random.Int64N(int64(longest*2/3)))
		pause := time.Duration(random.IntN(5000)) * time.Millisecond
		p.steps = append(p.steps, step{fault: f, length: length, pause: pause})
		total += length + pause + recovery
	}
	return p
}

// mixOfEachPlan returns a drill with every fault once, in random order and full length.
func (s *settings) mixOfEachPlan() plan {
	random := rand.New(rand.NewPCG(s.seed, 1))
	p := plan{name: "mix-of-each", verb: "mix", args: fmt.Sprintf("-each -seconds %d", s.seconds)}
	all := faults()
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, f := range all {
		p.steps = append(p.steps, step{fault: f, length: s.lengthOf(f)})
	}
	return p
}
