package load

import (
	"fmt"
	"slices"
	"strings"
)

// Workload is a mix of requests, and how many of each a second, unless a round says otherwise.
type Workload struct {
	Name  string
	About string // one line for reports

	Get, Set, Touch, Delete float64 // requests/s
	Miss                    float64 // gets of keys that nobody has set
	ValueBytes              int
	Keys                    Keys
	Fresh                   bool // each request is to have a new connection: see HTTPSConfig
}

// Keys is how a workload chooses among the keys of a data set.
type Keys string

// The distributions. Zipf: the i-th most wanted key is asked for i^-1.1 as often as the first, so that of 5,000 keys
// the first has a sixth of all requests, and of 4.5 million an eighth; which is how few users make most of the
// requests, and the case that is hardest on locks and kindest to caches. Uniform is the opposite in both. One: the
// same key always.
const (
	Zipf    Keys = "zipf"
	Uniform Keys = "uniform"
	One     Keys = "one"
)

// ZipfExponent is the exponent s of Zipf: probability ∝ rank^-s.
const ZipfExponent = 1.1

// Session is the size of a value but in the workload large: what a session of MediaWiki's is at most, usually.
const Session = 2048

// Workloads is all that have a name.
func Workloads() []Workload {
	return []Workload{
		{Name: "target", About: "what the service is designed for: 9,000 reads/s and 100 writes/s",
			Get: 9000, Set: 100, ValueBytes: Session, Keys: Zipf},
		{Name: "production", About: "an ordinary hour of Wikimedia's Kask: 1,750 get/s, 600 set/s, 25 delete/s, a few touches",
			Get: 1750, Set: 600, Touch: 5, Delete: 25, ValueBytes: Session, Keys: Zipf},
		{Name: "peak", About: "its worst: 9,000 get/s, 1,500 set/s, 200 delete/s",
			Get: 9000, Set: 1500, Delete: 200, ValueBytes: Session, Keys: Zipf},
		{Name: "storm", About: "one key: 3,000 get/s and 100 set/s, a session that a broken script hammers",
			Get: 3000, Set: 100, ValueBytes: Session, Keys: One},
		{Name: "misses", About: "3,000 get/s of keys that nobody has set: made-up cookies",
			Miss: 3000, ValueBytes: Session, Keys: Uniform},
		{Name: "fresh", About: "a new connection for each request, as stock PHP makes them: 450 get/s and 50 set/s",
			Get: 450, Set: 50, ValueBytes: Session, Keys: Zipf, Fresh: true},
		{Name: "large", About: "values of 100 kB: 90 get/s and 10 set/s",
			Get: 90, Set: 10, ValueBytes: 100_000, Keys: Zipf},
	}
}

// WorkloadNamed finds one, or says which there are.
func WorkloadNamed(name string) (Workload, error) {
	all := Workloads()
	if i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, w := range all {
		names = append(names, w.Name)
	}
	return Workload{}, fmt.Errorf("there is no workload %q: say one of %s", name, strings.Join(names, ", "))
}

// Rate is requests/s of all kinds.
func (w Workload) Rate() float64 { return w.Get + w.Set + w.Touch + w.Delete + w.Miss }

// check tells whether requests can be made of w.
func (w Workload) check(d Dataset) error {
	rates := []float64{w.Get, w.Set, w.Touch, w.Delete, w.Miss}
	switch {
	case slices.ContainsFunc(rates, func(r float64) bool { return !(r >= 0) }) || !(w.Rate() > 0):
		return fmt.Errorf("the workload %q needs rates that are not negative, and one that is more than nothing", w.Name)
	case w.Delete > w.Set:
		return fmt.Errorf("the workload %q deletes more than it sets: each delete is of a key that a set has made", w.Name)
	case !slices.Contains([]Keys{Zipf, Uniform, One}, w.Keys):
		return fmt.Errorf("the workload %q chooses keys by %q: say zipf, uniform or one", w.Name, w.Keys)
	case d.Values < 1 || d.ValueBytes < 1:
		return fmt.Errorf("a data set has a value at least, and a value a byte: not %d of %d", d.Values, d.ValueBytes)
	}
	return nil
}
