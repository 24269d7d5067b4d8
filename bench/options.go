package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
	"userinfo/internal/testcluster"
)

// options are the flags that measuring commands share.
type options struct {
	dir         string
	rounds      int
	seconds     float64
	warm        float64
	compile     float64
	generators  int
	connections int
	data        size
	nodes       int
	heapMB      int
	plain       bool
	memory      bool
	ttl         int
	seed        uint64
	against     string
	stores      stores

	program string   // of the service; empty: built for the run
	env     []string // of its own
}

// valueBytes is a session's size in all workloads but large.
const valueBytes = 2048

func (b *bench) flags(command string) (*flag.FlagSet, *options) {
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.SetOutput(b.err)
	o := &options{data: 10e6}
	f.StringVar(&o.dir, "out", filepath.Join(".bench", time.Now().UTC().Format("20060102-150405")), "`DIRECTORY` of the result")
	f.IntVar(&o.rounds, "rounds", 5, "`ROUNDS` that count")
	f.Float64Var(&o.seconds, "seconds", 5, "`SECONDS` of a round")
	f.Float64Var(&o.warm, "warm", 0, "`SECONDS` of warm-up for each target; 0: until it settles, 60 at most")
	f.Float64Var(&o.compile, "compile", 90, "`SECONDS` of load for Cassandra's compiler before anything else")
	f.IntVar(&o.generators, "generators", 1, "generator `PROCESSES` for each target")
	f.IntVar(&o.connections, "connections", 0, "`CONNECTIONS`; 0: the workload's own")
	f.Var(&o.data, "data", "`SIZE` of the data set: 10MB, 1.4GB, 9GB")
	f.IntVar(&o.nodes, "nodes", 1, "Cassandra `NODES` to start: 1 or 3 in one datacentre, or 6 in two")
	f.IntVar(&o.heapMB, "heap", 2048, "`MB` of each node's heap")
	f.BoolVar(&o.plain, "plain", false, "Cassandra with its own defaults in place of deploy/cassandra's settings, and everything scheduled as usual in place of SCHED_BATCH")
	f.BoolVar(&o.memory, "memory", false, "the service on its memory store, without Cassandra")
	f.IntVar(&o.ttl, "ttl", 86400, "`SECONDS` that values live: longer than all of the run")
	f.Uint64Var(&o.seed, "seed", 1, "`SEED` of the schedules")
	f.StringVar(&o.against, "against", "", "`TARGETS` in place of the workload's own, separated by commas: userinfo, userinfo-memory, handler, loop, driver, redis, sidecar, userinfo:ENVIRONMENT (GOMAXPROCS=1+GOGC=200), names of -url; with -url its stores alone unless given")
	f.Var(&o.stores, "url", "an HTTP session store: `NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]`; may be given several times")
	return f, o
}

// parse refuses what cannot be measured, and flags that would be without effect.
func (o *options) parse(f *flag.FlagSet, args []string, without ...string) error {
	f.Usage = func() {} // a mistake is followed by where to look, not by all flags
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(f.Output(), "flags of %s; `go doc ./bench` has all commands\n", f.Name())
		f.PrintDefaults()
		return err
	case err != nil:
		fmt.Fprintf(f.Output(), "%s -h has all flags\n", f.Name())
		return errUsage
	}
	if o.memory {
		without = append(without, "nodes", "heap")
	}
	var idle []string
	f.Visit(func(given *flag.Flag) {
		if slices.Contains(without, given.Name) {
			idle = append(idle, "-"+given.Name)
		}
	})
	_, err := os.Stat(filepath.Join(o.dir, runFile))
	switch {
	case len(idle) > 0:
		return fmt.Errorf("%s: without effect in %s as it is asked for; leave out", strings.Join(idle, ", "), f.Name())
	case err == nil:
		return fmt.Errorf("%s has a run already: give another directory to -out", o.dir)
	case f.NArg() > 0:
		return fmt.Errorf("%q comes after the flags: names come first", f.Arg(0))
	case o.rounds < 1 || o.seconds < 1 || o.compile < 1:
		return fmt.Errorf("-rounds, -seconds and -compile: 1 or more")
	case o.nodes != 1 && o.nodes != 3 && o.nodes != 6:
		return fmt.Errorf("-nodes %d: 1, 3 or 6", o.nodes)
	case o.generators < 1 || o.ttl < 1:
		return fmt.Errorf("-generators and -ttl: 1 or more")
	case o.connections < 0:
		return fmt.Errorf("-connections: 1 or more, or 0 for the workload's own")
	case int64(o.data) < valueBytes:
		return fmt.Errorf("-data %s: at least one value of %d bytes", &o.data, valueBytes)
	}
	return nil
}

// set is the data set for a workload: its values can be larger than a session's.
func (o *options) set(w workload) load.Dataset {
	return load.DatasetOf(int64(o.data), w.mix.ValueBytes)
}

// workload is the one of that name as this run asks it: of the targets and over the connections that were asked for.
func (o *options) workload(name string) (workload, error) {
	w, err := workloadNamed(name)
	if err != nil {
		return w, err
	}
	return o.adapt(w), nil
}

func (o *options) adapt(w workload) workload {
	if o.connections > 0 {
		w.connections = o.connections
	}
	names := w.targets
	if o.against != "" {
		names = strings.Split(o.against, ",")
	} else if len(o.stores) > 0 {
		names = nil // only what was named
	}
	w.targets = nil
	for _, name := range names {
		switch {
		case o.memory && name == result.Driver: // there is no Cassandra
		case o.memory && name == result.UserInfo && !w.sidecar:
			if !slices.Contains(names, result.Memory) {
				w.targets = append(w.targets, result.Memory)
			}
		case w.sidecar && name == result.UserInfo:
			w.targets = append(w.targets, result.Sidecar)
		default:
			w.targets = append(w.targets, name)
		}
	}
	for _, s := range o.stores {
		if !w.sidecar && !slices.Contains(w.targets, s.Name) { // a sidecar's workload would ask the store itself
			w.targets = append(w.targets, s.Name)
		}
	}
	return w
}

// own is the target that is this service.
func (o *options) own() string {
	if o.memory {
		return result.Memory
	}
	return result.UserInfo
}

func (o *options) cluster() testcluster.Options {
	c := testcluster.Options{Datacentres: []string{"dc1"}, NodesPerDC: min(o.nodes, 3), HeapMB: o.heapMB, Tuned: !o.plain}
	if o.nodes == 6 {
		c.Datacentres = []string{"dc1", "dc2"}
	}
	return c
}

// stores are HTTP session stores that run already.
type stores []*target.Target

// String implements flag.Value.
func (s *stores) String() string { return "" }

// Set implements flag.Value.
func (s *stores) Set(text string) error {
	t, err := target.Parse(text)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(*s, func(other *target.Target) bool { return other.Name == t.Name }) {
		return fmt.Errorf("there are two stores %q: give each a name of its own", t.Name)
	}
	*s = append(*s, t)
	return nil
}

// size is an amount of data: 10MB, 1.4GB, in powers of ten.
type size int64

var units = []struct {
	name string
	of   float64
}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// String implements flag.Value.
func (b *size) String() string {
	for _, u := range units {
		if n := float64(*b) / u.of; n >= 1 {
			return strconv.FormatFloat(n, 'f', -1, 64) + u.name
		}
	}
	return "0B"
}

// Set implements flag.Value.
func (b *size) Set(text string) error {
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || !(n > 0 && n <= 1e6) {
				break
			}
			*b = size(n * u.of)
			return nil
		}
	}
	return fmt.Errorf("%q is no size such as 10MB or 1.4GB", text)
}
