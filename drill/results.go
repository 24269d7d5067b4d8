package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"userinfo/drill/report"
)

// writeReport makes one report in dir of all the results in some directories. Of two of one name the later counts.
func writeReport(dir string, from []string) error {
	byName := make(map[string]report.Summary)
	for _, d := range from {
		files, err := filepath.Glob(filepath.Join(d, "*"+summarySuffix))
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
	for _, m := range mutants() {
		if s, ok := byName[mutantPrefix+m.name]; ok {
			planted = append(planted, report.OfMutant(s, m.what, m.must))
		}
	}
	for _, name := range order() {
		if s, ok := byName[name]; ok {
			drills = append(drills, s)
			delete(byName, name)
		}
	}
	var rest []report.Summary // the mix, and what was watched
	for _, s := range byName {
		if s.Mutant == "" {
			rest = append(rest, s)
		}
	}
	slices.SortFunc(rest, func(a, b report.Summary) int { return strings.Compare(a.Name, b.Name) })
	return report.Write(dir, append(drills, rest...), planted)
}

const mutantPrefix = "mutant-"

// order is that of the catalogue.
func order() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

func runReport(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("drill report", flag.ContinueOnError)
	out := flags.String("out", "drill-report", "the `DIRECTORY` for the report")
	if !parse(flags, args, stderr) {
		return exitUsage
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stderr, "drill report: name the directories that hold results")
		return exitUsage
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	if err := writeReport(*out, flags.Args()); err != nil {
		fmt.Fprintln(stderr, "drill:", err)
		return exitFailed
	}
	fmt.Fprintln(stdout, filepath.Join(*out, "report.html"))
	return exitOK
}
