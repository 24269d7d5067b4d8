package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

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
}

func (b *bench) flags(command string) (*flag.FlagSet, *options) {
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.SetOutput(b.err)
	o := &options{data: 10e6}
	f.StringVar(&o.dir, "out", filepath.Join(".bench", time.Now().UTC().Format("20060102-150405")), "`DIRECTORY` of the run")
	f.IntVar(&o.rounds, "rounds", 5, "`ROUNDS` that count")
	f.Float64Var(&o.seconds, "seconds", 5, "`SECONDS` of a round")
	f.Float64Var(&o.warm, "warm", 0, "`SECONDS` of warm-up for each target; 0: until its figures are stable, at most 60")
	f.Float64Var(&o.compile, "compile", 90, "`SECONDS` of load at the start, for Cassandra's compiler")
	f.IntVar(&o.connections, "connections", 0, "`CONNECTIONS`; 0: the workload's own")
	f.Var(&o.data, "data", "`SIZE` of the data set: 10MB, 1.4GB, 9GB")
	f.IntVar(&o.nodes, "nodes", 1, "`NODES` of Cassandra: 1; 3 in one datacentre, with replication 3; or 6 in two datacentres")
	f.IntVar(&o.heapMB, "heap", 2048, "`MB` of each node's heap")
	f.BoolVar(&o.plain, "plain", false, "run Cassandra without the settings of deploy/cassandra, and all processes without SCHED_BATCH")
	f.BoolVar(&o.memory, "memory", false, "run the service on its memory store, without Cassandra")
	f.IntVar(&o.ttl, "ttl", 86400, "`SECONDS` that values live; longer than the run")
	f.Uint64Var(&o.seed, "seed", 1, "`SEED` of the requests")
	f.StringVar(&o.against, "against", "", "`TARGETS` instead of the workload's own, separated by commas: "+strings.Join(result.Targets, ", ")+
		", the name of a -url, or userinfo with settings: userinfo:BINARY=FILE+GOGC=200. Default with -url: only the stores")
	f.Var(&o.stores, "url", "an HTTP session store: `NAME=URL[,ca=FILE][,certificate=FILE,key=FILE][,header=FILE][,set=POST][,pid=NUMBER]`; may be repeated")
	return f, o
}

// parse reads the flags, and rejects values that cannot be measured and flags that have no effect.
func (o *options) parse(f *flag.FlagSet, args []string, unused ...string) error {
	f.Usage = func() {} // a mistake should not print all flags
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(f.Output(), "flags of %s (`go doc ./bench` lists the commands):\n", f.Name())
		f.PrintDefaults()
		return err
	case err != nil:
		fmt.Fprintf(f.Output(), "%s -h explains the flags\n", f.Name())
		return errUsage
	}
	if o.memory {
		unused = append(unused, "nodes", "heap")
	}
	var ignored []string
	f.Visit(func(given *flag.Flag) {
		if slices.Contains(unused, given.Name) {
			ignored = append(ignored, "-"+given.Name)
		}
	})
	switch {
	case len(ignored) > 0:
		return fmt.Errorf("%s has no effect in this call of %s: leave it out", strings.Join(ignored, ", "), f.Name())
	case result.Exists(o.dir):
		return fmt.Errorf("%s already has a run: give -out another directory", o.dir)
	case f.NArg() > 0:
		return fmt.Errorf("%q comes after the flags: give names first", f.Arg(0))
	case o.rounds < 1 || o.seconds < 1 || o.compile < 1:
		return errors.New("-rounds, -seconds and -compile must be at least 1")
	case o.nodes != 1 && o.nodes != 3 && o.nodes != 6:
		return fmt.Errorf("-nodes must be 1, 3 or 6, not %d", o.nodes)
	case o.ttl < 1:
		return errors.New("-ttl must be at least 1")
	case o.connections < 0 || o.warm < 0:
		return errors.New("-connections and -warm must not be negative")
	case int64(o.data) < sessionBytes:
		return fmt.Errorf("-data must be at least one value of %d bytes, not %s", sessionBytes, &o.data)
	}
	return nil
}

// workload returns a workload with this run's targets and connections.
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
		names = nil
	}
	w.targets = nil
	for _, name := range names {
		if o.memory { // there is no Cassandra
			if rest, ok := strings.CutPrefix(name, result.UserInfo); ok && (rest == "" || rest[0] == ':') {
				name = result.Memory + rest
			}
			if name == result.Driver || slices.Contains(w.targets, name) {
				continue
			}
		}
		w.targets = append(w.targets, name)
	}
	if w.sidecar { // there is one, and it stands before the service
		isOther := func(name string) bool { return !strings.HasPrefix(name, result.UserInfo) }
		w.targets = slices.DeleteFunc(w.targets, isOther)
		w.targets = w.targets[:min(1, len(w.targets))]
		return w
	}
	for _, s := range o.stores {
		if !slices.Contains(w.targets, s.Name) {
			w.targets = append(w.targets, s.Name)
		}
	}
	return w
}

// dataset returns the data set of a workload.
func (o *options) dataset(w workload) load.Dataset {
	return load.DatasetOf(int64(o.data), w.valueBytes)
}

func (o *options) cluster() testcluster.Options {
	c := testcluster.Options{Datacentres: []string{"dc1"}, NodesPerDC: min(o.nodes, 3), HeapMB: o.heapMB, Tuned: !o.plain, Benchmark: true}
	if o.nodes == 6 {
		c.Datacentres = []string{"dc1", "dc2"}
	}
	return c
}

// stores is the value of -url.
type stores []*target.Target

// String implements flag.Value.
func (s *stores) String() string { return "" }

// Set implements flag.Value.
func (s *stores) Set(text string) error {
	t, err := target.ParseURL(text)
	if err != nil {
		return err
	}
	if s.named(t.Name) != nil {
		return fmt.Errorf("two stores have the name %q", t.Name)
	}
	*s = append(*s, t)
	return nil
}

// named returns the store with a name, or nil.
func (s *stores) named(name string) *target.Target {
	for _, t := range *s {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// size is the value of -data: bytes, with a decimal unit.
type size int64

// String implements flag.Value.
func (s *size) String() string { return units.HumanSize(float64(*s)) }

// Set implements flag.Value.
func (s *size) Set(text string) error {
	n, err := units.FromHumanSize(text)
	if err != nil {
		return fmt.Errorf("%q is not a size such as 10MB or 1.4GB", text)
	}
	*s = size(n)
	return nil
}
