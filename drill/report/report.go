// Package report writes a Markdown report about drills.
//
// The input is a summary of each drill. Summaries are small, so a report can include drills that ran at different times.
//
// Invariants:
//
//  1. An invariant is shown as held only if it was checked.
//  2. A summary without verdicts cannot be read.
//  3. All verdicts come from package judge. The report adds only counts and latencies.
//  4. The same summaries give the same report.
//
// The package does not defend against a summary with wrong data.
package report

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"userinfo/drill/judge"
	"userinfo/internal/report"
)

// promises describes each invariant in one sentence. The definitions are in package judge.
var promises = map[string]string{
	"I1":  "After a delete was answered 204, no read in any datacentre returns the deleted value or an older value.",
	"I2":  "A delete that was answered 503 not-everywhere is complete in its own datacentre at once, and everywhere within 60 s of recovery.",
	"I3":  "A read returns an undamaged value of its own key, and no value that is older than an acknowledged set.",
	"I4":  "No value is read later than 1 s after its expiry. A touch neither shortens a life nor revives a deleted key.",
	"I5":  "No instance connects to a Cassandra node of another datacentre.",
	"I6":  "A request is answered 404 only if the key has no value.",
	"I7":  "While the other datacentre is lost, get, set and touch have no errors after the first second, and a p99 of at most three times the usual or 100 ms. Each delete from the third unconfirmed one on takes at most 0.5 s.",
	"I8":  "While one node is lost, joins, leaves or moves, there are no errors after the first second, and the p99 is at most three times the usual or 100 ms. This holds again within 5 s of the end. Faults that only slow nodes are judged for errors. After the loss of the whole local datacentre, it holds again within 10 s, without errors.",
	"I9":  "No process ends by itself. Memory, goroutines, file descriptors and statements in flight return to their usual numbers.",
	"I10": "Clients, metrics and log count the same answers.",
	"L":   "The operations on a key are linearizable within one datacentre.",
	"P1":  "After a password was changed or deleted, no datacentre accepts an older one, and none refuses the new one.",
	"P2":  "After a change that was answered 503 not-everywhere, the new password alone is right in its own datacentre, and everywhere within 60 s of recovery.",
	"P3":  "Of two creations of a user, one wins.",
	"P4":  "The wrong guesses of strangers do not keep a user out of a known network.",
	"P5":  "A reset token works at most once, and not after a later change or token.",
}

// judged returns the names of the invariants that at least one drill was judged by, in the order of package judge.
func judged(drills []Summary) (names []string) {
	for _, name := range slices.Concat(judge.Invariants, judge.PasswordInvariants) {
		in := func(s Summary) bool {
			return slices.ContainsFunc(s.Verdicts, func(v judge.Verdict) bool { return v.Invariant == name })
		}
		if !slices.Contains(names, name) && slices.ContainsFunc(drills, in) {
			names = append(names, name)
		}
	}
	return names
}

// Idle is the key in History.Environment of the share of CPU time that was idle before the first fault.
const Idle = "idle"

// MutantResult is the result of a drill with a planted bug.
type MutantResult struct {
	Summary
	Bug       string // description of the bug
	Invariant string // the invariant that must find it
}

// Caught reports whether the right invariant found the bug. Another invariant does not count: it may find the bug by chance
// only.
func (m MutantResult) Caught() bool { return m.verdict(m.Invariant).Violated() }

// Write writes report.md to a directory. It returns an error if there is nothing to report.
func Write(dir string, drills []Summary, mutants []MutantResult) error {
	d, err := newDocument(drills, mutants)
	if err != nil {
		return err
	}
	return d.Write(dir)
}

func newDocument(drills []Summary, mutants []MutantResult) (*report.Document, error) {
	if len(drills)+len(mutants) == 0 {
		return nil, errors.New("there are no results to report")
	}
	for _, s := range drills {
		if s.Mutant != "" {
			return nil, fmt.Errorf("drill %q has the planted bug %q, so it is no drill of the service", s.Name, s.Mutant)
		}
	}
	d := new(report.Document)
	d.Heading(1, "Drills")
	if len(drills) > 0 {
		d.Paragraph("**%s**", headline(drills))
		writeVerdicts(d, drills)
		writeFaults(d, drills)
		writeViolations(d, drills)
		writeFigures(d, drills)
	}
	writeMutants(d, mutants)
	writeCommands(d, drills)
	return d, nil
}

// headline returns the result of all drills in one sentence.
func headline(drills []Summary) string {
	operations, faults, violations, notJudged := 0, 0, 0, 0
	var broken []string
	for _, s := range drills {
		operations += s.Operations
		faults += len(s.Faults)
		for _, v := range s.Verdicts {
			notJudged += v.LatencyNotJudged()
			if v.Violated() {
				violations += max(v.Broken, len(v.Violations))
				broken = append(broken, v.Invariant)
			}
		}
	}
	result := "no promise was broken."
	if violations > 0 {
		slices.Sort(broken)
		result = fmt.Sprintf("%s of %s.", counted(violations, "violation"), strings.Join(slices.Compact(broken), ", "))
	}
	if notJudged > 0 {
		result += fmt.Sprintf(" Machine too busy: I7 and I8 not judged for latency in %s.", counted(notJudged, "case"))
	}
	return fmt.Sprintf("%s, %s, %s: %s", counted(len(drills), "drill"), counted(faults, "fault"), counted(operations, "operation"), result)
}

// counted returns a number of things, such as "1 fault" and "2 faults".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return report.Count(n) + " " + thing + "s"
}

// writeVerdicts writes the promises, and a table with a row for each drill and a column for each invariant.
func writeVerdicts(d *report.Document, drills []Summary) {
	names := judged(drills)
	d.Heading(2, "Promises")
	var items []any
	for _, name := range names {
		items = append(items, report.Markdown("**"+name+"** "+report.Escape(promises[name])))
	}
	d.List(items...)
	d.Heading(2, "Verdicts")
	d.Paragraph("A cell is the number of observations that were checked, or the number of violations. – means not checked.")
	columns := []report.Column{report.Left("Drill")}
	for _, name := range names {
		columns = append(columns, report.Right(name))
	}
	t := report.NewTable(columns...)
	for _, s := range drills {
		row := []any{s.Name}
		for _, name := range names {
			row = append(row, cell(s.verdict(name)))
		}
		t.Row(row...)
	}
	d.Table(t)
}

// cell returns a verdict as a table cell. It fails closed: an invariant that was not checked is not shown as held.
func cell(v judge.Verdict) any {
	switch {
	case v.Violated():
		return report.Markdown(fmt.Sprintf("**%s broken**", report.Count(max(v.Broken, len(v.Violations)))))
	case v.Checked > 0 && v.LatencyNotJudged() > 0:
		return report.Count(v.Checked) + " (errors only)"
	case v.Checked > 0:
		return v.Checked
	}
	return report.None
}

func writeFaults(d *report.Document, drills []Summary) {
	d.Heading(2, "Faults")
	d.Paragraph("Operations are those that were active at any time from the begin of the fault to recovery. Pending are deletes and changes of passwords that are complete in their own datacentre and were answered 503. Errors are no violation if the fault leaves no quorum.")
	t := report.NewTable(report.Left("Drill"), report.Left("Fault"), report.Right("Begin"), report.Right("Length"), report.Right("Operations"),
		report.Right("Errors"), report.Right("Pending"), report.Right("Recovered after"), report.Left("Violations"))
	for _, s := range drills {
		for _, f := range s.Faults {
			recovered := any("not seen")
			if f.HasRecovered() {
				recovered = f.Recovered - f.End
			}
			var broken []string
			for _, v := range s.Verdicts {
				if slices.ContainsFunc(v.Violations, func(w judge.Violation) bool { return w.Fault == f.Name }) {
					broken = append(broken, v.Invariant)
				}
			}
			t.Row(s.Name, f.Name, f.Begin, f.End-f.Begin, f.Operations.All, f.Operations.Errors, f.Operations.Pending, recovered, strings.Join(broken, ", "))
		}
	}
	d.Table(t)
}

func writeViolations(d *report.Document, drills []Summary) {
	d.Heading(2, "Violations")
	t := report.NewTable(report.Left("Drill"), report.Left("Promise"), report.Left("Fault"), report.Right("Time"), report.Left("Violation"), report.Left("Operations"))
	for _, s := range drills {
		for _, v := range s.Verdicts {
			for _, w := range v.Violations {
				t.Row(s.Name, v.Invariant, cmp.Or(w.Fault, "before any fault"), w.At, w.What, strings.Trim(fmt.Sprint(w.Operations), "[]"))
			}
		}
	}
	if t.Len() == 0 {
		d.Paragraph("None.")
		return
	}
	d.Paragraph("At most the first 20 violations of an invariant in a drill are listed.")
	d.Table(t)
}

// writeFigures writes errors and latency during the faults that I7 and I8 are about.
func writeFigures(d *report.Document, drills []Summary) {
	t := report.NewTable(report.Left("Drill"), report.Left("Fault"), report.Left("Clients in"), report.Left("Promise"), report.Right("Requests"),
		report.Right("Errors in the first second"), report.Right("Later errors"), report.Right("p99 before"), report.Right("p99 during"),
		report.Right("p99 after"), report.Right("Affected by stalls"), report.Right("Full speed after"), report.Right("Deletes that knew the cut"), report.Right("Slowest of them"))
	for _, s := range drills {
		for _, v := range s.Verdicts {
			for _, f := range v.Figures {
				fullSpeed, deletes, slowest := any("not seen"), any(report.None), any(report.None)
				if f.FullSpeedAfter >= 0 {
					fullSpeed = f.FullSpeedAfter
				}
				if why := cmp.Or(f.Overlaps, f.NotJudged); why != "" {
					fullSpeed = "not judged: " + why
				}
				if f.KnownCutDeletes > 0 {
					deletes, slowest = f.KnownCutDeletes, f.SlowestDelete
				}
				t.Row(s.Name, f.Fault, f.DC, v.Invariant, f.Requests, f.FirstSecondErrors, f.LaterErrors, f.Before.P99, f.During.P99, f.After.P99, f.Affected, fullSpeed, deletes, slowest)
			}
		}
	}
	if t.Len() == 0 {
		return
	}
	d.Heading(2, "Loss of one node or of the other datacentre")
	d.Paragraph("I7 counts gets, sets and touches; I8 counts all operations. Latency counts from the due time of a request. Full speed means three seconds without an error and with at most 2 %% of the requests slower than three times the p99 before, or 100 ms. All nodes share the cores of one machine with the load generator. While the generator sends requests more than 10 ms late, the machine stalls; the latency of the requests that a stall affected is left out, their errors are not. If the p99 before is above 50 ms, the machine is too busy, and only errors are judged. The same is true if the p99 during the fault is limited and stalls affected more than a fifth of the requests. A delete knew the cut if its instance had answered two deletes as not everywhere.")
	d.Table(t)
}

func writeMutants(d *report.Document, mutants []MutantResult) {
	if len(mutants) == 0 {
		return
	}
	d.Heading(2, "Planted bugs")
	d.Paragraph("Each bug was planted in the service. The named invariant must find it.")
	t := report.NewTable(report.Left("Bug"), report.Left("Description"), report.Left("Must be caught by"), report.Left("Result"), report.Left("Proof"))
	for _, m := range mutants {
		result, proof := any("caught"), ""
		if !m.Caught() {
			result = report.Markdown("**not caught**")
		}
		if all := m.verdict(m.Invariant).Violations; len(all) > 0 {
			proof = all[0].What
		}
		t.Row(m.Mutant, m.Bug, m.Invariant, result, proof)
	}
	d.Table(t)
}

// writeCommands writes how to repeat each drill, and the environment of the drills.
func writeCommands(d *report.Document, drills []Summary) {
	if len(drills) == 0 {
		return
	}
	d.Heading(2, "Repeat a drill")
	d.Paragraph("A seed repeats the load and the order of the faults. The speed of the machine changes the result.")
	t := report.NewTable(report.Left("Drill"), report.Right("Operations per second"), report.Right("Length"), report.Right("Machine idle"), report.Left("Date"), report.Left("Command"))
	facts := make(map[string][]string) // drills by fact
	for _, s := range drills {
		t.Row(s.Name, s.Rate, s.Duration, s.Environment[Idle], s.Began.UTC().Format("2006-01-02 15:04"), s.Command)
		for name, value := range s.Environment {
			if name == Idle {
				continue
			}
			facts[name+": "+value] = append(facts[name+": "+value], s.Name)
		}
	}
	d.Table(t)
	var items []any
	for _, fact := range slices.Sorted(maps.Keys(facts)) {
		in := strings.Join(facts[fact], ", ")
		if len(facts[fact]) == len(drills) {
			in = "all drills"
		}
		items = append(items, fact+" ("+in+")")
	}
	d.List(items...)
}
