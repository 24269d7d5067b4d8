package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"userinfo/drill/judge"
	"userinfo/drill/report"
)

func runMutants(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	flags := s.flags("drill mutants")
	if !parse(flags, args, stderr) {
		return exitUsage
	}
	chosen := mutants()
	if names := flags.Args(); len(names) > 0 {
		chosen = nil
		for _, name := range names {
			m, ok := mutantNamed(name)
			if !ok {
				fmt.Fprintf(stderr, "drill mutants: there is no mutant %q; see drill list\n", name)
				return exitUsage
			}
			chosen = append(chosen, *m)
		}
	}
	if err := s.prepare(stdout); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	return s.holdAll(ctx, "mutants", nil, chosen, stdout, stderr)
}

// hunt plants a bug and tells whether the drill finds it.
func (s *settings) hunt(ctx context.Context, f *field, m *mutant, stdout io.Writer) (caught bool, err error) {
	fmt.Fprintf(stdout, "\nmutant %s: %s\n", m.name, m.what)
	if err := f.deploy(ctx, m); err != nil {
		return false, err
	}
	at, ok := faultNamed(m.fault)
	if !ok {
		return false, fmt.Errorf("there is no fault %q", m.fault)
	}
	length := s.length(at)
	h, err := f.hold(ctx, plan{name: mutantPrefix + m.name, command: "mutants " + m.name, seed: s.seed, rate: s.rate, faults: []step{{fault: at, length: length}}, mutant: m})
	if err != nil {
		return false, err
	}
	verdicts := judge.Evaluate(h)
	printVerdicts(stdout, h, verdicts)
	summary := report.Summarize(h, verdicts)
	caught = report.OfMutant(summary, m.what, m.must).Caught()
	fmt.Fprintf(stdout, "%s: %s\n", m.name, map[bool]string{true: "caught", false: "SURVIVED"}[caught])
	if s.keep || !caught {
		if err := h.Write(filepath.Join(s.out, h.Name+".history.json.gz")); err != nil {
			return false, err
		}
	}
	return caught, summary.Write(filepath.Join(s.out, h.Name+summarySuffix))
}
