package report

import (
	"bytes"
	"image/png"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/page/pagetest"
)

func write(t *testing.T, run *result.Run) map[string]string {
	t.Helper()
	return pagetest.Written(t, func(dir string) error { return Write(dir, run) })
}

func durationOf(ms float64) time.Duration { return time.Duration(ms * float64(millisecond)) }

func TestAWholeRunGivesAllThatThereIs(t *testing.T) {
	run := plausible()
	files := write(t, run)
	for _, name := range []string{"index.html", "report.md", "cost.png", "cost-fresh.png", "curve.png", "growth.png",
		"percentiles-get.png", "time-get.png", "percentiles-get-open-loop.png", "percentiles-fresh-mtls-resumption.png", "time-target.png"} {
		if files[name] == "" {
			t.Errorf("no %s in %v", name, slices.Sorted(maps.Keys(files)))
		}
	}
	for _, m := range Marks(run) {
		if m.State == NotMeasured {
			t.Errorf("%s is not measured in a whole run", m.Name)
		}
	}
	shown := regexp.MustCompile(`!\[[^]]*\]\(([^)]*)\)`).FindAllStringSubmatch(files["report.md"], -1)
	for _, s := range shown {
		if files[s[1]] == "" {
			t.Errorf("the Markdown shows %q, which is not there", s[1])
		}
	}
	if len(shown) != 4 {
		t.Errorf("the Markdown shows %q", shown)
	}
	for name, content := range files {
		if !strings.HasSuffix(name, ".png") {
			continue
		}
		img, err := png.DecodeConfig(strings.NewReader(content))
		if err != nil || img.Width > 1100 || len(content) > 100_000 {
			t.Errorf("%s: %d pixels wide, %d bytes, %v", name, img.Width, len(content), err)
		}
	}
	for _, source := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(files["index.html"], -1) {
		if s := source[1]; !strings.HasPrefix(s, "data:image/png;base64,") && s != RawData {
			t.Errorf("the page loads %q", s)
		}
	}
}

func TestTheSameRunGivesTheSameReport(t *testing.T) {
	gets := func() *result.Run {
		run := plausible()
		run.Samples = slices.DeleteFunc(run.Samples, func(s result.Sample) bool { return s.Workload != result.Get })
		return run
	}
	if a, b := write(t, gets()), write(t, gets()); !maps.Equal(a, b) {
		for name := range a {
			if a[name] != b[name] {
				t.Errorf("%s differs", name)
			}
		}
	}
}

func TestNothingThatARunSaysIsMarkupOrBreaksATable(t *testing.T) {
	const hostile = "<script>alert(1)</script> | *cut*\n`x`"
	long := hostile + strings.Repeat("long ", 200)
	m := quiet()
	m.run.Command, m.run.Environment.CPU = []string{hostile}, hostile
	for _, target := range []string{hostile, long, "../../up"} {
		is := kept(long, 0)
		is.Mode = hostile
		s := truth{target: target, is: is, rate: 100, p50: millisecond, cpu: ofCPU("service", 40), errors: map[string]int64{hostile: 3}}
		m.add(2, s)
	}
	for i := range m.run.Samples {
		m.run.Samples[i].Costs[0].Kind = hostile
	}
	m.run.Footprints = []result.Footprint{{Target: hostile, Connections: 1, RSS: 1}}
	files := write(t, &m.run)
	for name, text := range files {
		if strings.ContainsAny(name, "/<>| ") || len(name) > 100 {
			t.Errorf("a file is named %q", name)
		}
		if !strings.HasSuffix(name, ".png") && strings.Contains(text, "<script>alert") {
			t.Errorf("%s has the script", name)
		}
	}
	columns := 0
	for line := range strings.Lines(files["report.md"]) {
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		switch {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("a row of %d cells in a table of %d: %q", n, columns, line)
		}
	}
}

func TestATableHasWhatWasMeasured(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(2, service(get, 12_000, 50), other(result.Redis, get.floor(), 60_000, "redis", 12), truth{target: "https://kask", is: get.floor(), rate: 900, p50: 9 * millisecond,
		errors: map[string]int64{"500": 2, "timeout": 1}})
	w := workloadOf(result.Get, samplesOf(&m.run))
	if want := "closed loop, 32 connections, 1 node, 10 MB of data, 2,048 B values"; w.Shared != want {
		t.Errorf("%q, want %q", w.Shared, want)
	}
	if !slices.Equal(w.Kinds, []string{"service", "redis", "cassandra"}) {
		t.Errorf("kinds %q", w.Kinds)
	}
	for i, want := range []row{
		{Target: result.UserInfo, Rounds: 2, CPU: []string{"50.0", none, "70.0"}, Throughput: Spread{2, 12_000, 12_000, 12_000}},
		{Target: result.Redis, Rounds: 2, CPU: []string{none, "12.0", none}, Throughput: Spread{2, 60_000, 60_000, 60_000}},
		{Target: "https://kask", Rounds: 2, CPU: []string{none, none, none}, Throughput: Spread{2, 900, 900, 900}, Errors: 6},
	} {
		got := w.Rows[i]
		if got.Target != want.Target || got.Rounds != want.Rounds || !slices.Equal(got.CPU, want.CPU) || got.Throughput != want.Throughput || got.Errors != want.Errors {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
	if got := w.Rows[2]; got.Memory() != none || got.Mallocs.Words() != none || got.Latency[0] != "9.01" || got.Wire.Words() != "2,618" {
		t.Errorf("%+v", got)
	}
	if !slices.Contains(w.Notes, "https://kask failed: 4 × 500, 2 × timeout") {
		t.Errorf("notes %q", w.Notes)
	}
}

func TestAGeneratorThatWasLateIsTold(t *testing.T) {
	m := quiet()
	m.add(2, service(kept(result.Latency, 3000), 3000, 50))
	if n := notes(samplesOf(&m.run)); len(n) != 0 {
		t.Errorf("%q", n)
	}
	for range 1000 {
		m.run.Samples[1].Late.Add(7 * millisecond)
	}
	if n := notes(samplesOf(&m.run)); len(n) != 1 || !strings.Contains(n[0], "7.00 ms late") {
		t.Errorf("%q", n)
	}
}

func TestAPercentileIsDrawnOnlyWhereEnoughLiesBeyondIt(t *testing.T) {
	for n, want := range map[int]int{0: 0, 9: 0, 10: 1, 500: 3, 5000: 4, 50_000: 5} {
		x := &result.Sample{Latency: result.NewHistogram()}
		for i := range n {
			x.Latency.Add(time.Duration(i+1) * time.Microsecond)
		}
		if bars, _ := quantiles(samples{x}, look{}); len(bars.points) != want {
			t.Errorf("of %d values %d percentiles, want %d", n, len(bars.points), want)
		}
	}
}

func TestReportsAreMadeOfWhatWasWrittenAndRead(t *testing.T) {
	m := quiet()
	m.add(1, service(kept(result.Get, 0), 12_000, 50))
	file := filepath.Join(t.TempDir(), RawData)
	if err := m.run.Write(file); err != nil {
		t.Fatal(err)
	}
	run, err := result.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := write(t, &m.run), write(t, run); !bytes.Equal([]byte(a["report.md"]), []byte(b["report.md"])) {
		t.Errorf("%s\n\n%s", a["report.md"], b["report.md"])
	}
}
