package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/internal/page"
)

func TestAnOperationIsCountedByWhatItsClientWasTold(t *testing.T) {
	for _, test := range []struct {
		name string
		o    history.Operation
		want Tally
	}{
		{"a value", history.Operation{Method: history.Get, Status: 200}, Tally{Right: 1}},
		{"an absence", history.Operation{Method: history.Get, Status: 404}, Tally{Right: 1}},
		{"a touch of nothing", history.Operation{Method: history.Touch, Status: 404}, Tally{Right: 1}},
		{"a set that lost against a delete", history.Operation{Method: history.Set, Status: 409, Problem: "deleted"}, Tally{Right: 1}},
		{"a delete that is pending", history.Operation{Method: history.Delete, Status: 503, Problem: "not-everywhere"}, Tally{Local: 1}},
		{"a get that was refused", history.Operation{Method: history.Get, Status: 503}, Tally{Failed: 1}},
		{"a set that was shed", history.Operation{Method: history.Set, Status: 503, Problem: "overloaded"}, Tally{Failed: 1}},
		{"a set that may be done", history.Operation{Method: history.Set, Status: 504}, Tally{Unknown: 1}},
		{"no answer", history.Operation{Method: history.Delete}, Tally{Unknown: 1}},
		{"nothing", history.Operation{}, Tally{Unknown: 1}},
	} {
		if got := of(&test.o); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestSeriesAreOfWhatWasDueInEachSecond(t *testing.T) {
	s := Summarize(made("pause"), allHeld(1))
	if s.Step != time.Second || len(s.Series) != 2 || len(s.Series[0].Right) != 60 {
		t.Fatalf("step %v, series %+v", s.Step, s.Series)
	}
	one, two := s.Series[0], s.Series[1]
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"right before", one.Right[19], 5}, {"right in the first second", one.Right[20], 4}, {"right then", one.Right[22], 5},
		{"without an answer", one.Unknown[20:23], []int{1, 1, 0}}, {"failed", one.Failed[20], 0},
		{"median before", one.P50[19], 2.0}, {"median during, of the right ones", one.P50[20], 10.0}, {"p99 after", one.P99[40], 2.0},
		{"in the other datacentre", two.P99[20], 2.0}, {"right there", two.Right[20], 5},
		{"all, the last reads too", s.Operations, Tally{Right: 599, Unknown: 2}},
		{"the drill's length", s.Duration, 71 * time.Second},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestAFaultsFiguresAreOfItsTime(t *testing.T) {
	f := Summarize(made("pause"), allHeld(1)).Faults[0]
	want := []Side{
		{DC: "dc1", Before: Phase{Tally{Right: 100}, 2, 2}, During: Phase{Tally{Right: 98, Unknown: 2}, 10, 10},
			After: Phase{Tally{Right: 75}, 2, 2}, FirstSecond: 1, Back: 0},
		{DC: "dc2", Before: Phase{Tally{Right: 100}, 2, 2}, During: Phase{Tally{Right: 100}, 2, 2}, After: Phase{Tally{Right: 75}, 2, 2}},
	}
	if !reflect.DeepEqual(f.Sides, want) {
		t.Errorf("sides\n%+v, want\n%+v", f.Sides, want)
	}
	// Of 20 s to 45 s, both included; nothing that ended before.
	if want := (Tally{Right: 249, Unknown: 2}); f.Seen != want || f.Recovery() != 5*time.Second {
		t.Errorf("seen %+v, want %+v; recovered after %v", f.Seen, want, f.Recovery())
	}
}

func TestFullSpeedIsBackWithTheFirstGoodSecond(t *testing.T) {
	h := made("pause")
	for i := range h.Operations {
		switch o := &h.Operations[i]; {
		case o.Due >= 40*time.Second && o.Due < 41*time.Second:
			o.Complete = o.Due + 5*time.Millisecond // slow
		case o.Due == 41*time.Second || o.Due == 41*time.Second+100*time.Millisecond:
			o.Status = 503 // an error in each datacentre
		}
	}
	for _, side := range Summarize(h, allHeld(1)).Faults[0].Sides {
		if side.Back != 2*time.Second {
			t.Errorf("%s: %v", side.DC, side.Back)
		}
	}
	h.Faults[0].End = 71 * time.Second
	if side := Summarize(h, allHeld(1)).Faults[0].Sides[0]; side.Back >= 0 {
		t.Errorf("back after %v, though nothing was asked any more", side.Back)
	}
}

func TestAFaultThatWasNotSeenToEndHasNoRecovery(t *testing.T) {
	h := made("pause")
	h.Faults[0].Recovered = 0
	f := Summarize(h, allHeld(1)).Faults[0]
	if f.HasRecovered() || f.Seen.Total() != 400 || recovery([]Fault{f}) != "not seen" {
		t.Errorf("%+v; recovery %s", f, recovery([]Fault{f}))
	}
}

func TestTheSummaryOfTheLargestDrillIsSmallAndLosesNoOperation(t *testing.T) {
	h := &history.History{Name: "large", Rate: 2, Datacentres: []string{"dc1", "dc2", "dc3"}}
	for i := range 40_000 { // 5.5 hours
		due := time.Duration(i) * 500 * time.Millisecond
		latency := time.Duration(i%997+1) * 1234 * time.Microsecond
		h.Operations = append(h.Operations, history.Operation{ID: int64(i), Due: due, Invoke: due, Complete: due + latency, DC: h.Datacentres[i%3],
			Method: history.Set, Status: []int{200, 200, 503, 400}[i%4]})
	}
	for i := range 100 {
		begin := time.Duration(i) * 3 * time.Minute
		h.Faults = append(h.Faults, history.Fault{Name: fmt.Sprintf("a fault with a name of some length, %d", i), Begin: begin, End: begin + time.Minute, Recovered: begin + 2*time.Minute})
	}
	long := judge.Violation{What: strings.Repeat("é", 10_000), Operations: make([]int64, 10_000)}
	verdicts := breaking("I1", 1000, make([]judge.Violation, 1000)...)
	for i := range verdicts {
		verdicts[i].Violations = []judge.Violation{long, long, long, long, long, long, long, long}
		verdicts[i].Note = long.What
	}
	s := Summarize(h, verdicts)
	file := filepath.Join(t.TempDir(), "large.json")
	if err := s.Write(file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 200_000 {
		t.Errorf("the summary has %d bytes", info.Size())
	}
	if len(s.Faults) != maxFaults || s.Omitted != 100-maxFaults {
		t.Errorf("%d faults, and %d more", len(s.Faults), s.Omitted)
	}
	if len(verdicts[0].Violations) != 8 || len(verdicts[0].Violations[0].Operations) != 10_000 {
		t.Error("the verdicts that were given are not as they were")
	}
	var sum int
	for _, x := range s.Series {
		for i := range x.Right {
			sum += x.Right[i] + x.Failed[i] + x.Unknown[i] + x.Local[i]
		}
	}
	if sum != len(h.Operations) {
		t.Errorf("the series count %d operations of %d", sum, len(h.Operations))
	}
}

func TestEvidenceOfEachFaultIsKeptBeforeMoreOfOne(t *testing.T) {
	var many []judge.Violation
	for range 20 {
		many = append(many, judge.Violation{Fault: "first"})
	}
	many = append(many, judge.Violation{Fault: "last"})
	kept := firstOfEach(many)
	if len(kept) != maxViolations || kept[0].Fault != "first" || kept[1].Fault != "last" || kept[2].Fault != "first" {
		t.Errorf("%+v", kept)
	}
}

func TestASummaryIsReadAsItWasWritten(t *testing.T) {
	s := Summarize(made(hostile), breaking("I1", 3, judge.Violation{At: time.Second, Fault: "pause", What: "a", Operations: []int64{1, 2}}))
	if s.Command != "drill run "+hostile || s.Environment["command"] != "" {
		t.Errorf("command %q, environment %q", s.Command, s.Environment)
	}
	file := filepath.Join(t.TempDir(), "s.json")
	if err := s.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSummary(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s) {
		t.Errorf("read\n%+v, written\n%+v", got, s)
	}
}

func TestASummaryThatCannotBeDrawnIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Summary)
		want   string
	}{
		{"no name", func(s *Summary) { s.Name = "" }, "no name"},
		{"no step", func(s *Summary) { s.Step = 0 }, "step"},
		{"endless", func(s *Summary) { s.Duration = math.MaxInt64 }, "duration"},
		{"a datacentre without a series", func(s *Summary) { s.Datacentres = append(s.Datacentres, "dc3") }, "2 series for 3 datacentres"},
		{"a short column", func(s *Summary) { s.Series[0].P99 = s.Series[0].P99[1:] }, "differ in length"},
		{"a negative latency", func(s *Summary) { s.Series[1].P50[3] = -1 }, "latency of -1 ms"},
		{"no latency", func(s *Summary) { s.Series[1].P50[3] = math.NaN() }, "latency of NaN ms"},
		{"a negative count", func(s *Summary) { s.Series[1].Local[3] = -1 }, "count of -1"},
		{"a fault that ends before it begins", func(s *Summary) { s.Faults[0].End = time.Second }, `fault "pause" begins at 20s`},
	} {
		s := Summarize(made("pause"), allHeld(1))
		test.change(&s)
		if err := s.check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	file := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(file, []byte(`{"name":"x"`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSummary(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v does not name the file", err)
	}
}

// FuzzSummary: what parse takes, both templates can show and the plots can draw.
func FuzzSummary(f *testing.F) {
	f.Add([]byte(`{"name":"a","duration":2000000000,"step":1000000000,"datacentres":["dc1"],"faults":[{"name":"f","begin":0,"end":1,"sides":[{"dc":"dc1"}]}],` +
		`"series":[{"dc":"dc1","right":[1,0],"failed":[0,1],"unknown":[0,0],"local":[0,0],"p50_ms":[1.5,0],"p99_ms":[2,0]}],"verdicts":[{"invariant":"I1","checked":1,"broken":2}]}`))
	f.Add([]byte(`{"name":"<b>|","step":1000000000,"verdicts":[{"invariant":"?"}]}`))
	f.Add([]byte(`{"name":"","step":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text)
		if err != nil {
			return
		}
		p := contentsOf([]Summary{s}, nil)
		if _, err := page.Render(pageHTML.Execute, p); err != nil {
			t.Error(err)
		}
		if _, err := page.Render(pageMarkdown.Execute, p); err != nil {
			t.Error(err)
		}
		if _, err := timeline(&s); err != nil {
			t.Error(err)
		}
	})
}
