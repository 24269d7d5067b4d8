package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func describeSteps(p plan) (all []string) {
	for _, s := range p.steps {
		all = append(all, fmt.Sprint(s.name, s.length, s.pause))
	}
	return all
}

func TestMixPlan_DependsOnTheSeed(t *testing.T) {
	one := settings{seed: 7, seconds: 30, minutes: 30}
	other := settings{seed: 8, seconds: 30, minutes: 30}
	if !reflect.DeepEqual(describeSteps(one.mixPlan()), describeSteps(one.mixPlan())) {
		t.Error("the same seed gave two mixes")
	}
	if reflect.DeepEqual(describeSteps(one.mixPlan()), describeSteps(other.mixPlan())) {
		t.Error("two seeds gave the same mix")
	}
	last := ""
	for _, s := range one.mixPlan().steps {
		if s.rare || s.name == last || s.length > 30*time.Second {
			t.Errorf("step %s of %v after %s", s.name, s.length, last)
		}
		last = s.name
	}
}

func TestMixOfEachPlan_HasEveryFaultOnce(t *testing.T) {
	s := settings{seed: 7, seconds: 30}
	p := s.mixOfEachPlan()
	seen := make(map[string]bool)
	for _, step := range p.steps {
		seen[step.name] = true
	}
	if len(p.steps) != len(faults()) || len(seen) != len(faults()) {
		t.Errorf("%d steps with %d faults, want %d", len(p.steps), len(seen), len(faults()))
	}
	if o := clusterOptions([]plan{p}); !o.SettableClocks || !o.SmallDisk {
		t.Errorf("options %+v", o)
	}
	if reflect.DeepEqual(describeSteps(p), describeSteps((&settings{seed: 8, seconds: 30}).mixOfEachPlan())) {
		t.Error("two seeds gave the same order")
	}
}

func TestPlan_CommandRepeatsTheDrill(t *testing.T) {
	s := settings{seed: 7, rate: 80, seconds: 15}
	f, _ := faultNamed("node-kill")
	p := s.faultPlan(f)
	p.seed, p.rate = s.seed, s.rate
	if got, want := p.command(), "go run ./drill faults -seed 7 -rate 80 -seconds 15 node-kill"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p, err := s.passwordPlan(f)
	p.seed, p.rate = s.seed, s.rate
	if got, want := p.command(), "go run ./drill passwords -seed 7 -rate 80 -seconds 15 node-kill"; got != want || !p.passwords || err != nil {
		t.Errorf("%q, want %q; %v", got, want, err)
	}
	for _, m := range mutants() {
		p, err := s.mutantPlan(m)
		if err != nil || p.passwords != strings.HasPrefix(m.invariant, "P") {
			t.Errorf("passwords %t, %v", p.passwords, err)
		}
		if got, want := p.command(), "go run ./drill mutants -seed 7 -rate 80 -seconds 15 "+m.name; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
