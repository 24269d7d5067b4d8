package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"userinfo/drill/load"
)

// peopleTime is how long people use their passwords before the first fault.
const peopleTime = 10 * time.Second

// passwordFaults are the names of the faults that drill passwords injects by default.
var passwordFaults = []string{"partition-drop", "partition-in", "hints-off", "node-kill", "node-pause-30", "rolling-restart", "instance-kill"}

func setupPasswords(flags *flag.FlagSet) runFunc {
	var s settings
	s.define(flags)
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
		if len(args) == 0 {
			args = passwordFaults
		}
		chosen, err := choose(args, faults(), faultNamed, "fault")
		if err != nil {
			return 0, err
		}
		var plans []plan
		for _, f := range chosen {
			p, err := s.passwordPlan(f)
			if err != nil {
				return 0, err
			}
			plans = append(plans, p)
		}
		return s.runAll(ctx, plans, stdout, stderr)
	}
}

// runPeople starts the load of passwords. It returns a function that stops the load and waits for its last answers.
func runPeople(ctx context.Context, r *run) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	people := load.People{
		Seed: r.plan.seed, Rate: r.plan.rate, Prefix: fmt.Sprintf("drill:%s:", rand.Text()[:8]),
		Targets: r.targets(passwords), Clients: wikiClients, Observer: observerClient,
	}
	var running sync.WaitGroup
	running.Go(func() { r.recorder.RunPeople(ctx, people) })
	return func() {
		cancel()
		running.Wait()
	}
}
