package report

import (
	"bytes"
	"errors"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/internal/page"
	"userinfo/internal/page/pagetest"
)

// mixed is a drill of two kinds of fault, one of them done twice.
func mixed() *history.History {
	h := made("mix")
	h.Faults = append(h.Faults,
		history.Fault{Name: "cut", Begin: 46 * time.Second, End: 50 * time.Second, Recovered: 51 * time.Second, Expect: history.OtherDatacentre},
		history.Fault{Name: "pause", Begin: 52 * time.Second, End: 53 * time.Second, Recovered: 59 * time.Second, Expect: history.OneNode})
	return h
}

func write(t *testing.T, summaries []Summary, mutants []MutantResult) map[string]string {
	t.Helper()
	return pagetest.Written(t, func(dir string) error { return Write(dir, summaries, mutants) })
}

// pages are the report's texts, without the drawing of its pictures.
func pages(t *testing.T, summaries []Summary, mutants []MutantResult) map[string]string {
	t.Helper()
	p, files := contentsOf(summaries, mutants), make(map[string]string)
	for name, execute := range map[string]func(io.Writer, any) error{"report.html": pageHTML.Execute, "report.md": pageMarkdown.Execute} {
		text, err := page.Render(execute, p)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// rowOf is the cells of the first line of Markdown that begins so.
func rowOf(t *testing.T, markdown, begin string) []string {
	t.Helper()
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "| "+begin+" |") {
			var cells []string
			for _, cell := range regexp.MustCompile(`[^\\]\|`).Split(strings.TrimSpace(line)[1:], -1) {
				cells = append(cells, strings.TrimSpace(cell))
			}
			return cells
		}
	}
	t.Fatalf("no row %q in\n%s", begin, markdown)
	return nil
}

func TestTheTableHasARowForEachFaultAndAColumnForEachInvariant(t *testing.T) {
	cut := judge.Violation{At: 47 * time.Second, Fault: "cut", What: "read what was deleted", Operations: []int64{4, 5}}
	noted := allHeld(12345)
	noted[4] = judge.Verdict{Invariant: "I5", Note: "no samples"}
	files := pages(t, []Summary{
		Summarize(made("pause"), noted),
		Summarize(mixed(), breaking("I2", 4, cut)),
	}, nil)
	text := files["report.md"]
	columns := rowOf(t, text, "Fault")
	for _, p := range promises {
		if !slices.Contains(columns, p.Invariant) {
			t.Errorf("no column %s in %q", p.Invariant, columns)
		}
	}
	for _, test := range []struct {
		row  string
		want map[string]string
	}{
		{"pause", map[string]string{"I1": "held 12,345", "I5": "–", "L": "held 12,345", "Operations": "251", "Errors": "2", "Recovered after": "5.0 s"}},
		{"mix: the whole drill", map[string]string{"I1": "held 100", "I2": "**BROKEN 4 of 100**", "Operations": "601", "Recovered after": "6.0 s"}},
		{"mix: pause ×2", map[string]string{"I1": "held", "I2": "unclear", "Recovered after": "6.0 s"}},
		{"mix: cut", map[string]string{"I1": "held", "I2": "**BROKEN 1**", "Errors": "0", "Recovered after": "1.0 s"}},
	} {
		cells := rowOf(t, text, test.row)
		if len(cells) != len(columns) {
			t.Fatalf("row %q has %d cells for %d columns", test.row, len(cells), len(columns))
		}
		for column, want := range test.want {
			if got := cells[slices.Index(columns, column)]; got != want {
				t.Errorf("row %q, column %s: %q, want %q", test.row, column, got, want)
			}
		}
	}
	for _, want := range []string{
		"2 drills with 4 faults and 1,202 operations: 4 violations, of I2.",
		"- at 47 s, cut: read what was deleted (operations 4, 5)", "- and 3 more, in the history",
		"| pause | 7 | 10 | 71 s | 2026-11-24 09:30 | drill run pause |", "- Cassandra: 5.0",
		"mix: 1 pause at 0:20; 2 cut at 0:46; 3 pause at 0:52.",
		"| pause | dc1 | 100 | 1 | 1 | 2.0 ms | 10 ms | 5.0× | 2.0 ms | at once |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, want := range []string{`<td class="broken">BROKEN 4 of 100</td>`, `<td class="unchecked" title="no samples">–</td>`, "mix: cut", "read what was deleted"} {
		if !strings.Contains(files["report.html"], want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

func TestWhatWasNotCheckedHasNotHeld(t *testing.T) {
	of := func(checked, broken int, told ...judge.Violation) judge.Verdict {
		return judge.Verdict{Checked: checked, Broken: broken, Violations: told}
	}
	for _, test := range []struct {
		name    string
		verdict judge.Verdict
		whole   state
		fault   state
	}{
		{"the zero verdict", judge.Verdict{}, unchecked, unchecked},
		{"held", of(1, 0), held, held},
		{"broken under this", of(1, 1, judge.Violation{Fault: "this"}), broken, broken},
		{"broken under the other", of(1, 1, judge.Violation{Fault: "other"}), broken, held},
		{"broken, not all told", of(2, 2, judge.Violation{Fault: "other"}), broken, unclear},
		{"broken, nothing told", of(0, 1), broken, unclear},
		{"told, not counted", of(1, 0, judge.Violation{Fault: "this"}), broken, broken},
	} {
		if got := wholeCell(test.verdict).State; got != test.whole {
			t.Errorf("%s: %q, want %q", test.name, got, test.whole)
		}
		if got := faultCell(test.verdict, "this").State; got != test.fault {
			t.Errorf("%s, for the fault: %q, want %q", test.name, got, test.fault)
		}
	}
	files := pages(t, []Summary{Summarize(made("pause"), []judge.Verdict{{Invariant: "I1", Checked: 5}, {Invariant: "I99", Checked: 1}})}, nil)
	if want := "nothing that was promised was broken. Not checked by any drill: I2, I3, I4, I5, I6, I7, I8, I9, I10, L."; !strings.Contains(files["report.md"], want) {
		t.Errorf("no %q in\n%s", want, files["report.md"])
	}
	if columns := rowOf(t, files["report.md"], "Fault"); !slices.Contains(columns, "I99") {
		t.Errorf("an invariant that is new has no column in %q", columns)
	}
}

func TestThePageLoadsNothingAndTakesNothingForMarkup(t *testing.T) {
	h := made(hostile)
	h.Faults[0].Name, h.Environment[hostile] = hostile, hostile
	verdicts := breaking("I1", 1, judge.Violation{Fault: hostile, What: hostile})
	verdicts[1].Note = hostile
	files := write(t, []Summary{Summarize(h, verdicts)}, []MutantResult{{Mutant: hostile, Bug: hostile, Must: "I1", Evidence: hostile}})
	text := files["report.html"]
	for _, bad := range []string{"<script", "http:", "https:", "<link", "@import"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if !strings.Contains(text, "&lt;script&gt;") {
		t.Error("the page does not show the name")
	}
	for _, source := range regexp.MustCompile(`src="([^"]{0,30})`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(source[1], "data:image/png;base64,") {
			t.Errorf("the page loads %q", source[1])
		}
	}
	if text := files["report.md"]; strings.Contains(text, "<script") || strings.Contains(text, "</script> |") {
		t.Errorf("the Markdown has the name as it is:\n%s", text)
	}
	if _, ok := files["timeline--script-alert-1-script-cut-.png"]; !ok {
		t.Errorf("files %v", sortedKeys(files))
	}
}

func TestPicturesAreSmallAndAllThatTheMarkdownShowsAreThere(t *testing.T) {
	files := write(t, []Summary{Summarize(made("pause"), allHeld(1)), Summarize(mixed(), allHeld(1))}, nil)
	for name, text := range files {
		if filepath.Ext(name) != ".png" {
			continue
		}
		img, err := png.Decode(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if size := img.Bounds().Size(); size.X < 1000 || size.Y < 100 || size.Y > 2000 || len(text) > 60_000 {
			t.Errorf("%s is %v, %d bytes", name, size, len(text))
		}
	}
	shown := regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(files["report.md"], -1)
	if len(shown) != 3 {
		t.Errorf("the Markdown shows %q, want the overview and two timelines", shown)
	}
	for _, file := range shown {
		if files[file[1]] == "" {
			t.Errorf("there is no %s", file[1])
		}
	}
}

func TestATimelineShadesTheFault(t *testing.T) {
	s := Summarize(made("pause"), allHeld(1))
	text, err := timeline(&s)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	// The third line of dc2's errors, of which there are none.
	y := img.Bounds().Dy() - footHeight - 118 - titleHeight - 3
	axis := timeAxis{end: span(&s)}
	for _, at := range []struct {
		seconds float64
		want    color.RGBA
	}{{10, color.RGBA{0xff, 0xff, 0xff, 0xff}}, {21, grey}, {39, grey}, {42, paleGrey}, {50, color.RGBA{0xff, 0xff, 0xff, 0xff}}} {
		if got := color.RGBAModel.Convert(img.At(int(axis.x(at.seconds)), y)); got != at.want {
			t.Errorf("at %v s: %v, want %v", at.seconds, got, at.want)
		}
	}
}

func TestAnHourOfFaultsStaysSmall(t *testing.T) {
	h := &history.History{Name: "mix", Rate: 5, Datacentres: []string{"dc1", "dc2"}}
	for i := range 18_000 {
		due := time.Duration(i) * 200 * time.Millisecond
		h.Operations = append(h.Operations, history.Operation{Due: due, Invoke: due, DC: h.Datacentres[i%2], Method: history.Set,
			Complete: due + time.Duration(i*7919%997+1)*time.Millisecond, Status: []int{200, 200, 200, 503, 200, 400, 0}[i*31%7]})
	}
	for i := range 60 {
		begin := time.Duration(i) * time.Minute
		h.Faults = append(h.Faults, history.Fault{Name: "pause", Begin: begin, End: begin + 30*time.Second, Recovered: begin + 40*time.Second})
	}
	files := write(t, []Summary{Summarize(h, allHeld(1))}, nil)
	if size := len(files["timeline-mix.png"]); size == 0 || size > 60_000 {
		t.Errorf("the timeline has %d bytes", size)
	}
}

func TestMergingKeepsTheOrderAndNamesTwinsApart(t *testing.T) {
	second := made("pause")
	second.Seed, second.Environment = 8, map[string]string{"Cassandra": "5.1"}
	files := write(t, []Summary{Summarize(made("zone"), allHeld(1)), Summarize(made("pause"), allHeld(1)), Summarize(second, allHeld(1))}, nil)
	if _, ok := files["timeline-pause-seed-8.png"]; !ok {
		t.Errorf("files %v", sortedKeys(files))
	}
	text, at := files["report.md"], -1
	for _, row := range []string{"| zone: pause | held", "| pause | held", "| pause, seed 8: pause | held"} {
		i := strings.Index(text, row)
		if i <= at {
			t.Errorf("%q is at %d, after what is at %d", row, i, at)
		}
		at = i
	}
	for _, want := range []string{"- Cassandra: 5.0 (zone, pause)", "- Cassandra: 5.1 (pause, seed 8)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTheMarkdownShowsTheDrillsThatTellMost(t *testing.T) {
	var all []Summary
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		s := Summarize(made(name), allHeld(1))
		if name == "c" {
			s.Operations.Failed = 0
			s.Operations.Unknown = 0
			s.Verdicts = breaking("I1", 1)
		}
		if name == "b" {
			s.Operations = Tally{Right: 1}
		}
		all = append(all, s)
	}
	text := pages(t, all, nil)["report.md"]
	if strings.Contains(text, "timeline-b.png") || !strings.Contains(text, "timeline-c.png") || strings.Count(text, "(timeline-") != shownTimelines {
		t.Errorf("not the six that tell most:\n%s", text)
	}
}

func TestTheSameSummariesGiveTheSameReport(t *testing.T) {
	var reports []map[string]string
	for range 2 {
		reports = append(reports, write(t, []Summary{Summarize(mixed(), allHeld(3))}, []MutantResult{{Mutant: "m", Must: "I1"}}))
	}
	for _, name := range sortedKeys(reports[0]) {
		if reports[0][name] != reports[1][name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestNoReportIsMadeOfWhatCouldNotShowAFailure(t *testing.T) {
	good := Summarize(made("pause"), allHeld(1))
	unjudged, mutant, broken := good, good, good
	unjudged.Verdicts = nil
	mutant.Mutant = "cache"
	broken.Series = nil
	for _, test := range []struct {
		name      string
		summaries []Summary
		want      string
	}{
		{"nothing", nil, "give the summary of one at least"},
		{"not judged", []Summary{good, unjudged}, `summary 2, drill "pause": it has no verdicts`},
		{"a mutant", []Summary{mutant}, `mutant "cache"`},
		{"no series", []Summary{broken}, "0 series for 2 datacentres"},
	} {
		dir := filepath.Join(t.TempDir(), "report")
		err := Write(dir, test.summaries, nil)
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory is there: %v", test.name, err)
		}
	}
}

func TestAMutantIsCaughtByItsOwnInvariantOnly(t *testing.T) {
	h := made("pause")
	h.Mutant = "cache"
	for _, test := range []struct {
		name     string
		verdicts []judge.Verdict
		caught   bool
		want     string
	}{
		{"by its own", breaking("I1", 2, judge.Violation{What: "a stale read"}), true, "caught by I1"},
		{"by another", breaking("I3", 2), false, "**SURVIVED I1, though I3 saw something**"},
		{"by none", allHeld(5), false, "**SURVIVED**"},
		{"not judged", nil, false, "**SURVIVED**"},
	} {
		m := OfMutant(Summarize(h, test.verdicts), "a cache of one second", "I1")
		if m.Caught() != test.caught {
			t.Errorf("%s: %+v", test.name, m)
		}
		files := pages(t, []Summary{Summarize(made("pause"), allHeld(1))}, []MutantResult{m})
		if cells := rowOf(t, files["report.md"], "cache"); cells[1] != "a cache of one second" || cells[2] != "I1" || cells[3] != test.want {
			t.Errorf("%s: row %q", test.name, cells)
		}
		if shown := strings.Contains(files["report.html"], `class="survived"`); shown == test.caught {
			t.Errorf("%s: the page shows a survivor: %v", test.name, shown)
		}
	}
	if (MutantResult{Mutant: "m"}).Caught() {
		t.Error("the zero result is caught")
	}
}

func TestNumbersAreWrittenForAReader(t *testing.T) {
	for got, want := range map[string]string{
		seconds(0): "0.0 s", seconds(9940 * time.Millisecond): "9.9 s", seconds(9960 * time.Millisecond): "10 s", seconds(119600 * time.Millisecond): "2 min",
		seconds(320 * time.Second): "5 min 20 s", clock(31 * time.Second): "0:31", clock(3600 * time.Second): "1:00:00",
		ms(0): "–", ms(2.04): "2.0 ms", ms(1234): "1,234 ms", ratio(3, 2): "1.5×", ratio(3, 0): "–", back(-1): "not seen",
		short(270_000): "270 k", short(99_999): "99,999", short(12_000_000): "12 M",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
