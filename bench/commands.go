package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"userinfo/bench/result"
)

// manyConnections is the number of connections for which the memory has a goal.
const manyConnections = 10_000

// goalGroups are the workloads that the goals need. The workloads of a group run in turns.
var goalGroups = [][]string{
	{result.Get, "get/token"},
	{result.Latency},
	{result.DesignTarget},
	{result.FreshMTLS, result.FreshMTLSResumed, "fresh/token", "fresh/token+resumption", "fresh/sidecar"},
	{"set", "large"},
}

// goals measures everything that the goals need.
func (b *bench) goals(args []string) error {
	f, o := b.flags("goals")
	large := f.Bool("grow", false, "also measure gets with 9 GB of data: about half an hour more")
	if err := o.parse(f, args); err != nil {
		return err
	}
	own := result.UserInfo
	if o.memory {
		own = result.Memory
	}
	return b.measureGroups(o, goalGroups, func(m *measuring) error {
		if m.targets[own] == nil {
			return nil // only stores by URL
		}
		get, err := o.workload(result.Get)
		if err != nil {
			return err
		}
		get.targets = []string{own}
		crowd := get.at3000()
		crowd.connections = manyConnections
		if err := m.measure(crowd); err != nil || !*large {
			return err
		}
		for _, o.data = range []size{o.data, 9e9} {
			if err := m.measure(get.at3000()); err != nil {
				return err
			}
		}
		return m.measure(get)
	})
}

// run measures workloads one after another.
func (b *bench) run(args []string) error {
	f, o := b.flags("run")
	names, args := splitNames(args)
	if err := o.parse(f, args); err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("name one or more workloads; `go run ./bench list` lists them")
	}
	return b.measureGroups(o, separately(names), nil)
}

// separately returns groups of one workload each.
func separately(names []string) (groups [][]string) {
	for _, name := range names {
		groups = append(groups, []string{name})
	}
	return groups
}

// splitNames returns the arguments before the first flag, and the rest.
func splitNames(args []string) (names, rest []string) {
	n := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if n < 0 {
		n = len(args)
	}
	return args[:n], args[n:]
}

// measureGroups measures groups of workloads, and then calls more, which may be nil.
func (b *bench) measureGroups(o *options, names [][]string, more func(*measuring) error) error {
	var all []workload
	groups := make([][]workload, len(names))
	for i, group := range names {
		for _, name := range group {
			w, err := o.workload(name)
			if err != nil {
				return err
			}
			groups[i] = append(groups[i], w)
			all = append(all, w)
		}
	}
	return b.start(o, all, func(m *measuring) error {
		for _, group := range groups {
			if err := m.measure(group...); err != nil {
				return err
			}
		}
		if more == nil {
			return nil
		}
		return more(m)
	})
}

// rates are the rates of saturate, in requests/s.
var rates = []float64{500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12000, 14000, 16000, 20000, 24000}

// saturate measures gets at rising rates. A target that answers less than 90 % in time is left out of higher rates.
func (b *bench) saturate(args []string) error {
	f, o := b.flags("saturate")
	if err := o.parse(f, args); err != nil {
		return err
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.mode, w.connections, w.targets = result.Open, keptOpen, []string{result.UserInfo, result.Driver, result.Redis}
	w = o.adapt(w)
	return b.start(o, []workload{w}, func(m *measuring) error {
		for _, w.rate = range rates {
			before := len(m.result.Samples)
			if err := m.measure(w); err != nil {
				return err
			}
			w.targets = slices.DeleteFunc(w.targets, func(name string) bool {
				return slices.ContainsFunc(m.result.Samples[before:], func(s result.Sample) bool {
					return s.Target == name && s.Throughput() < .9*w.rate
				})
			})
			if len(w.targets) == 0 {
				break
			}
		}
		return nil
	})
}

// grow measures gets while one thing grows.
func (b *bench) grow(args []string) error {
	names, args := splitNames(args)
	what := strings.Join(names, " ")
	grow, known := map[string]func(*options, workload) error{
		"data": b.growData, "connections": b.growConnections, "nodes": b.growNodes,
	}[what]
	f, o := b.flags(strings.TrimSpace("grow " + what))
	unused := map[string][]string{"data": {"data"}, "nodes": {"nodes", "url", "memory"}}[what]
	if err := o.parse(f, args, unused...); err != nil {
		return err
	}
	if !known {
		fmt.Fprintln(b.err, "usage: bench grow data|connections|nodes [flags]")
		return errUsage
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.targets = []string{result.UserInfo}
	return grow(o, o.adapt(w))
}

func (b *bench) growData(o *options, w workload) error {
	w = w.at3000()
	return b.start(o, []workload{w}, func(m *measuring) error {
		for _, o.data = range []size{10e6, 1.4e9, 9e9} {
			if err := m.measure(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// growConnections measures gets at one rate with more and more connections, so that most of them are idle. -connections
// limits their number.
func (b *bench) growConnections(o *options, w workload) error {
	w = w.at3000()
	most := manyConnections
	if o.connections > 0 {
		most = o.connections
	}
	return b.start(o, []workload{w}, func(m *measuring) error {
		for _, n := range []int{10, 100, 1000, most} {
			if n > most || n == most && w.connections == n && len(m.result.Samples) > 0 {
				continue
			}
			w.connections = n
			if err := m.measure(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// growNodes measures the highest rate on clusters of one, three and six nodes.
func (b *bench) growNodes(o *options, w workload) error {
	var samples []result.Sample
	o.heapMB = min(o.heapMB, 1024) // so that six nodes fit
	for _, o.nodes = range []int{1, 3, 6} {
		err := b.start(o, []workload{w}, func(m *measuring) error {
			m.result.Samples = samples
			err := m.measure(w)
			samples = m.result.Samples
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// load loads a data set into a store.
func (b *bench) load(args []string) error {
	f, o := b.flags("load")
	if err := o.parse(f, args, "out", "rounds", "seconds", "warm", "compile", "connections", "nodes", "heap", "plain", "memory", "seed", "against"); err != nil {
		return err
	}
	if len(o.stores) != 1 {
		return errors.New("give one store: -url NAME=URL")
	}
	return b.loadData(o.stores[0], o.dataset(workload{valueBytes: sessionBytes}), o.ttl)
}
