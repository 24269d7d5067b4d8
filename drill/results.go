package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/drill/report"
	"userinfo/internal/fleet"
)

// Names of result files.
const (
	historySuffix = ".history.json.gz"
	summarySuffix = ".summary.json"
	mutantPrefix  = "mutant-" // of drills with a planted bug

	passwordPrefix = "passwords-" // of drills of passwords
)

// promiseBroken reports whether a verdict shows a broken promise.
func promiseBroken(verdicts []judge.Verdict) bool {
	return slices.ContainsFunc(verdicts, judge.Verdict.Violated)
}

// judge evaluates a history, prints the verdicts and saves the summary in the directory for results, if there is one.
func (s *settings) judge(h *history.History, stdout io.Writer) (report.Summary, error) {
	summary := report.Summarize(h, judge.Evaluate(h))
	printVerdicts(stdout, h, summary.Verdicts)
	if s.out == "" {
		return summary, nil
	}
	return summary, summary.WriteFile(filepath.Join(s.out, h.Name+summarySuffix))
}

func (s *settings) saveHistory(h *history.History) error {
	return h.Write(filepath.Join(s.out, h.Name+historySuffix))
}

// saveLogs saves what the newest process of each instance has logged since its start, perhaps during earlier drills.
func (s *settings) saveLogs(drill string, instances []*fleet.Instance) error {
	var errs []error
	for _, i := range instances {
		errs = append(errs, os.WriteFile(filepath.Join(s.out, drill+"."+i.Name+".log"), []byte(i.Log()), 0o644))
	}
	return errors.Join(errs...)
}

// printVerdicts prints the counts of outcomes, each verdict, and its first violations.
func printVerdicts(w io.Writer, h *history.History, verdicts []judge.Verdict) {
	const shown = 3
	var t report.Tally
	for i := range h.Operations {
		t.Count(&h.Operations[i])
	}
	fmt.Fprintf(w, "%d operations: %d errors, %d pending elsewhere\n", t.All, t.Errors, t.Pending)
	for _, v := range verdicts {
		word := "held"
		switch {
		case v.Violated():
			word = "BROKEN"
		case v.Checked == 0:
			word = "–"
		case v.LatencyNotJudged() > 0:
			word = "errors only, held"
		}
		fmt.Fprintf(w, "  %-4s %-17s checked %7d, broken %d  %s\n", v.Invariant, word, v.Checked, v.Broken, v.Note)
		for _, violation := range v.Violations[:min(shown, len(v.Violations))] {
			fmt.Fprintf(w, "       at %v, %s: %s (operations %v)\n", violation.At.Round(time.Millisecond), cmp.Or(violation.Fault, "before any fault"), violation.What, violation.Operations)
		}
		if v.Broken > shown {
			fmt.Fprintf(w, "       … and %d more\n", v.Broken-shown)
		}
	}
}

// finish writes the report about all results in the directory and prints the result.
func (s *settings) finish(code int, stdout io.Writer) (int, error) {
	if err := writeReport(s.out, s.out); err != nil {
		return 0, err
	}
	result := map[int]string{exitOK: "no promise was broken", exitBroken: "A PROMISE WAS BROKEN or a mutant was not caught", exitFailed: "not every drill could be completed"}[code]
	fmt.Fprintf(stdout, "\n%s; the report is %s\n", result, filepath.Join(s.out, "report.md"))
	return code, nil
}

// writeReport writes one report about all summaries in some directories. Of several drills with the same name it uses the
// latest. The order is the order of time.
func writeReport(out string, from ...string) error {
	byName := make(map[string]report.Summary)
	for _, dir := range from {
		files, err := filepath.Glob(filepath.Join(dir, "*"+summarySuffix))
		if err != nil {
			return err
		}
		for _, file := range files {
			s, err := report.ReadSummary(file)
			if err != nil {
				return err
			}
			if old, ok := byName[s.Name]; !ok || s.Began.After(old.Began) {
				byName[s.Name] = s
			}
		}
	}
	var drills []report.Summary
	var planted []report.MutantResult
	for _, s := range byName {
		if m, ok := mutantNamed(s.Mutant); ok {
			planted = append(planted, m.result(s))
		} else {
			drills = append(drills, s)
		}
	}
	slices.SortFunc(drills, func(a, b report.Summary) int { return a.Began.Compare(b.Began) })
	slices.SortFunc(planted, func(a, b report.MutantResult) int { return a.Began.Compare(b.Began) })
	return report.Write(out, drills, planted)
}

func setupJudge(flags *flag.FlagSet) runFunc {
	var s settings
	flags.StringVar(&s.out, "out", "", "`DIRECTORY` for results and a report; by default nothing is written")
	return func(_ context.Context, files []string, stdout, _ io.Writer) (int, error) {
		if len(files) == 0 {
			return 0, usageError("name the history files (*" + historySuffix + ")")
		}
		if s.out != "" {
			if err := os.MkdirAll(s.out, 0o755); err != nil {
				return 0, err
			}
		}
		code := exitOK
		for _, file := range files {
			h, err := history.Read(file)
			if err != nil {
				return 0, err
			}
			fmt.Fprintf(stdout, "%s (seed %d)\n", h.Name, h.Seed)
			summary, err := s.judge(h, stdout)
			if err != nil {
				return 0, err
			}
			if promiseBroken(summary.Verdicts) && h.Mutant == "" {
				code = exitBroken
			}
		}
		if s.out == "" {
			return code, nil
		}
		return s.finish(code, stdout)
	}
}

func setupReport(flags *flag.FlagSet) runFunc {
	out := flags.String("out", "drill-report", "`DIRECTORY` for the report")
	return func(_ context.Context, dirs []string, stdout, _ io.Writer) (int, error) {
		if len(dirs) == 0 {
			return 0, usageError("name the directories with results")
		}
		if err := writeReport(*out, dirs...); err != nil {
			return 0, err
		}
		fmt.Fprintln(stdout, filepath.Join(*out, "report.md"))
		return exitOK, nil
	}
}
