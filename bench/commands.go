package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// manyConnections is for how many idle clients the service's memory is told.
const manyConnections = 10_000

// marks measures what the report's marks are made of.
func (b *bench) marks(args []string) error {
	f, o := b.flags("marks")
	large := f.Bool("grow", false, "load 9 GB at the end, and measure gets again: about half an hour more")
	if err := o.parse(f, args); err != nil {
		return err
	}
	names := []string{result.UserInfo, result.Handler, result.Loop, result.Driver, result.Redis, result.Sidecar}
	return b.measure(o, names, func(s *session) error {
		for _, names := range [][]string{
			{result.Get, result.GetToken},
			{result.Latency},
			{result.DesignTarget},
			{result.FreshMTLS, result.FreshMTLSResumed, result.FreshToken, result.FreshTokenResumed, result.FreshSidecar},
			{result.Set, result.Large},
		} {
			if err := s.groupNamed(names); err != nil {
				return err
			}
		}
		if err := s.idle(s.ctx, result.UserInfo, manyConnections); err != nil || !*large {
			return err
		}
		s.o.data = 9e9
		get, err := workloadNamed(result.Get)
		if err != nil {
			return err
		}
		get.targets = []string{result.UserInfo}
		return s.group(get)
	})
}

func (s *session) groupNamed(names []string) error {
	var all []workload
	for _, name := range names {
		w, err := workloadNamed(name)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	return s.group(all...)
}

// run measures named workloads, one after the other.
func (b *bench) run(args []string) error {
	f, o := b.flags("run")
	names, args := leading(args)
	if err := o.parse(f, args); err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("name the workloads; `go run ./bench list` has them")
	}
	var needed []string
	for _, name := range names {
		w, err := workloadNamed(name)
		if err != nil {
			return err
		}
		needed = append(needed, o.wanted(w)...)
		if w.sidecar {
			needed = append(needed, result.Sidecar)
		}
	}
	return b.measure(o, needed, func(s *session) error {
		for _, name := range names {
			if err := s.groupNamed([]string{name}); err != nil {
				return err
			}
		}
		return nil
	})
}

// leading are the arguments before the first flag; rest begins with it.
func leading(args []string) (names, rest []string) {
	n := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if n < 0 {
		n = len(args)
	}
	return args[:n], args[n:]
}

// rates at which saturate looks, in requests/s.
var rates = []float64{500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12000, 14000, 16000, 20000, 24000}

// saturate looks at rising rates, until a target answers less than nine in ten.
func (b *bench) saturate(args []string) error {
	f, o := b.flags("saturate")
	if err := o.parse(f, args); err != nil {
		return err
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.mode, w.connections = result.Open, 8*kept
	w.targets = []string{result.UserInfo, result.Driver, result.Redis}
	return b.measure(o, o.wanted(w), func(s *session) error {
		left := o.wanted(w)
		for _, rate := range rates {
			w.perSecond, w.targets, o.against = rate, left, ""
			before := len(s.run.Samples)
			if err := s.group(w); err != nil {
				return err
			}
			left = slices.DeleteFunc(left, func(name string) bool {
				return slices.ContainsFunc(s.run.Samples[before:], func(r result.Sample) bool {
					return r.Target == name && r.Throughput() < .9*rate
				})
			})
			if len(left) == 0 {
				return nil
			}
		}
		return nil
	})
}

// grow measures gets as one thing grows.
func (b *bench) grow(args []string) error {
	if len(args) == 0 || !slices.Contains([]string{"data", "connections", "nodes"}, args[0]) {
		fmt.Fprintln(b.err, "usage: bench grow data|connections|nodes")
		return errUsage
	}
	what := args[0]
	f, o := b.flags("grow")
	if err := o.parse(f, args[1:]); err != nil {
		return err
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.targets = []string{result.UserInfo}
	switch what {
	case "data":
		return b.measure(o, o.wanted(w), func(s *session) error {
			for _, o.data = range []size{10e6, 1.4e9, 9e9} {
				if err := s.group(w); err != nil {
					return err
				}
			}
			return nil
		})
	case "connections":
		return b.measure(o, o.wanted(w), func(s *session) error {
			for _, n := range []int{10, 100, 1000, manyConnections} {
				w.connections = n
				if err := s.group(w); err != nil {
					return err
				}
			}
			return s.idle(s.ctx, result.UserInfo, manyConnections)
		})
	}
	return b.growNodes(o, w)
}

// perSecondOfSix is what six nodes on two cores can do beside everything else: the highest rate of any cluster would be
// told of the smallest alone.
const perSecondOfSix = 300

// growNodes asks clusters of one, three and six nodes for the same, one after the other, at one rate.
func (b *bench) growNodes(o *options, w workload) error {
	w.mode, w.perSecond = result.Open, perSecondOfSix
	var samples []result.Sample
	for _, o.nodes = range []int{1, 3, 6} {
		if o.nodes > 1 {
			o.heapMB = min(o.heapMB, 1024)
		}
		err := b.measure(o, o.wanted(w), func(s *session) error {
			s.run.Samples = samples
			err := s.group(w)
			samples = s.run.Samples
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// load sets a data set's values at a store.
func (b *bench) load(args []string) error {
	f, o := b.flags("load")
	if err := o.parse(f, args); err != nil {
		return err
	}
	if len(o.stores) != 1 {
		return fmt.Errorf("give one store: -url NAME=URL")
	}
	return loadData(b.ctx, o.stores[0], load.DatasetOf(int64(o.data), valueBytes), o, os.Stderr)
}
