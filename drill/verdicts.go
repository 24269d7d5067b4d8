package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/drill/report"
)

func broken(verdicts []judge.Verdict) bool {
	return slices.ContainsFunc(verdicts, func(v judge.Verdict) bool { return v.Broken > 0 && !figureOnly[v.Invariant] })
}

// figureOnly are the invariants that depend on the machine's speed: where all nodes share a few cores, what they say are
// figures, not promises.
var figureOnly = map[string]bool{"I7": true, "I8": true}

func printVerdicts(w io.Writer, h *history.History, verdicts []judge.Verdict) {
	outcomes := make(map[history.Outcome]int)
	for i := range h.Operations {
		outcomes[h.Operations[i].Outcome()]++
	}
	fmt.Fprintf(w, "%d operations: %d ok, %d done here and pending, %d failed, %d unknown\n", len(h.Operations),
		outcomes[history.OK], outcomes[history.Local], outcomes[history.Failed], outcomes[history.Unknown])
	for _, v := range verdicts {
		word := "held"
		switch {
		case v.Broken > 0:
			word = "BROKEN"
		case v.Checked == 0:
			word = "–"
		}
		fmt.Fprintf(w, "  %-4s %-6s checked %7d, broken %d  %s\n", v.Invariant, word, v.Checked, v.Broken, v.Note)
		for n, violation := range v.Violations {
			if n == 3 {
				fmt.Fprintf(w, "       … and %d more\n", v.Broken-n)
				break
			}
			fmt.Fprintf(w, "       at %v, %s: %s (operations %v)\n", violation.At.Round(time.Millisecond), violation.Fault, violation.What, violation.Operations)
		}
	}
}

// runJudge judges histories once more and, where it is told a directory, writes their results there.
func runJudge(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("drill judge", flag.ContinueOnError)
	out := flags.String("out", "", "the `DIRECTORY` for results and a report; without it there are none")
	if !parse(flags, args, stderr) {
		return exitUsage
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stderr, "drill judge: name the histories, which drills keep beside their reports")
		return exitUsage
	}
	code := exitOK
	for _, file := range flags.Args() {
		h, err := history.Read(file)
		if err != nil {
			fmt.Fprintln(stderr, "drill:", err)
			return exitFailed
		}
		fmt.Fprintf(stdout, "%s (seed %d)\n", h.Name, h.Seed)
		verdicts := judge.Evaluate(h)
		printVerdicts(stdout, h, verdicts)
		if broken(verdicts) && h.Mutant == "" {
			code = exitBroken
		}
		if *out == "" {
			continue
		}
		if err := report.Summarize(h, verdicts).Write(filepath.Join(*out, h.Name+summarySuffix)); err != nil {
			fmt.Fprintln(stderr, "drill:", err)
			return exitFailed
		}
	}
	if *out == "" {
		return code
	}
	s := settings{out: *out}
	return s.conclude("judge", code, stdout, stderr)
}
