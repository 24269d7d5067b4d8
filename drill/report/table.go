package report

import (
	"slices"
	"time"

	"userinfo/drill/judge"
	"userinfo/internal/page"
)

// row is a line of the table fault × invariant.
//
// The judge counts by drill. A drill of one kind of fault is one row. A drill of several is a row of its own, with the
// counts, and below it one for each kind, with what the evidence says of it.
type row struct {
	Drill   *drill
	Fault   string // empty: the whole drill
	Part    bool   // of the drill whose row is above
	Times   int    // how often it was done
	Cells   []cell // one for each column
	Seen    Tally  // operations while it lasted, until recovery; of the whole drill, all
	Recover string // the longest time from a fault's end to recovery
}

// Label is the row's first cell.
func (r row) Label() string {
	switch {
	case r.Fault == "" && r.Times == 0:
		return r.Drill.Label + ": no fault"
	case r.Fault == "":
		return r.Drill.Label + ": the whole drill"
	case r.Fault == r.Drill.Label:
		return r.Fault + times(r.Times)
	}
	return r.Drill.Label + ": " + r.Fault + times(r.Times)
}

func times(n int) string {
	if n == 1 {
		return ""
	}
	return " ×" + page.Count(n)
}

// state is what is known of an invariant under a fault.
type state string

// The states. The zero state is that nothing was checked.
const (
	unchecked state = ""
	held      state = "held"
	broken    state = "broken"
	// unclear: the drill has broken it, and what is kept of the evidence does not say whether under this fault.
	unclear state = "unclear"
)

type cell struct {
	State   state
	Checked int // 0 where it was counted for the whole drill alone
	Broken  int
	Note    string
}

// Words is the cell as text.
func (c cell) Words() string {
	switch {
	case c.State == unchecked:
		return "–"
	case c.State == broken && c.Checked > 0:
		return "BROKEN " + page.Count(c.Broken) + " of " + page.Count(c.Checked)
	case c.State == broken:
		return "BROKEN " + page.Count(c.Broken)
	case c.State == held && c.Checked > 0:
		return "held " + page.Count(c.Checked)
	}
	return string(c.State)
}

// rows are a drill's.
func rows(columns []column, d *drill) []row {
	var names []string
	for _, f := range d.Faults {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	whole := row{Drill: d, Times: len(d.Faults) + d.Omitted, Seen: d.Operations, Recover: recovery(d.Faults)}
	for _, c := range columns {
		whole.Cells = append(whole.Cells, wholeCell(verdict(d, c)))
	}
	switch len(names) {
	case 0:
		return []row{whole}
	case 1:
		one := faultRow(columns, d, names[0])
		one.Cells = whole.Cells
		return []row{one}
	}
	all := []row{whole}
	for _, name := range names {
		part := faultRow(columns, d, name)
		part.Part = true
		all = append(all, part)
	}
	return all
}

func faultRow(columns []column, d *drill, name string) row {
	r := row{Drill: d, Fault: name}
	var these []Fault
	for _, f := range d.Faults {
		if f.Name == name {
			these = append(these, f)
			r.Times++
			r.Seen.add(f.Seen)
		}
	}
	r.Recover = recovery(these)
	for _, c := range columns {
		r.Cells = append(r.Cells, faultCell(verdict(d, c), name))
	}
	return r
}

// verdict is the drill's of an invariant; where it has none, nothing was checked.
func verdict(d *drill, c column) judge.Verdict {
	if i := slices.IndexFunc(d.Verdicts, func(v judge.Verdict) bool { return v.Invariant == c.Invariant }); i >= 0 {
		return d.Verdicts[i]
	}
	return judge.Verdict{Invariant: c.Invariant}
}

// violated fails closed: evidence that was not counted is evidence.
func violated(v judge.Verdict) bool { return v.Broken > 0 || len(v.Violations) > 0 }

// wholeCell is what a verdict says of its drill. It fails closed: what was not checked has not held.
func wholeCell(v judge.Verdict) cell {
	c := cell{Checked: v.Checked, Broken: v.Broken, Note: v.Note}
	switch {
	case violated(v):
		c.State = broken
	case v.Checked > 0:
		c.State = held
	}
	return c
}

// faultCell is what a drill's verdict says of one of its kinds of fault. It fails closed.
func faultCell(v judge.Verdict, fault string) cell {
	c := wholeCell(v)
	c.Checked, c.Broken, c.Note = 0, 0, ""
	if c.State != broken {
		return c
	}
	for _, w := range v.Violations {
		if w.Fault == fault {
			c.Broken++
		}
	}
	switch {
	case c.Broken > 0:
	case len(v.Violations) >= v.Broken:
		c.State = held
	default:
		c.State = unclear
	}
	return c
}

// recovery is the longest of the faults'.
func recovery(faults []Fault) string {
	if len(faults) == 0 {
		return "–"
	}
	var longest time.Duration
	for _, f := range faults {
		if !f.HasRecovered() {
			return "not seen"
		}
		longest = max(longest, f.Recovery())
	}
	return seconds(longest)
}
