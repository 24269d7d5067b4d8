package watching

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

func TestExpression_Selectors(t *testing.T) {
	e := Expression{Text: `sum by (job, a_label) (rate(a_total{job=~"a_b{}",status!="5"}[5m])) / on (x_y) group_left max(max_over_time(b_up[1d])) > 2e9 or level:c:rate5m or up{job="x"} == 0 and absent (up)`}
	want := []Selector{{"a_total", []string{"job", "status"}}, {"b_up", nil}, {"level:c:rate5m", nil}, {"up", []string{"job"}}, {"up", nil}}
	if got := e.Selectors(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// alerts returns the alerts of the rules.
func alerts(t *testing.T) (all []Rule) {
	t.Helper()
	rules, err := Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Alert != "" {
			all = append(all, r)
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d alerts were found", len(all))
	}
	return all
}

func TestAlerts_AreCompleteAndUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("two alerts have the name %s", a.Alert)
		}
		seen[a.Alert] = true
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity is %q, want critical or warning", a.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
		}
	}
}

// heading matches a heading of a Markdown file of the third level.
var heading = regexp.MustCompile(`(?m)^### (\S+)$`)

// TestAlerts_HaveSectionInRunbook checks that each alert links a section of docs/runbook.md with its own name, that the section says the
// same severity, and that there is no section of an alert that is gone.
func TestAlerts_HaveSectionInRunbook(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Alerts\n")
	if !found {
		t.Fatal("docs/runbook.md has no heading Alerts")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	sections := make(map[string]string) // text after the heading, by name
	names := heading.FindAllStringSubmatchIndex(section, -1)
	for _, m := range names {
		sections[section[m[2]:m[3]]] = strings.TrimSpace(section[m[1]:])
	}
	for _, a := range alerts(t) {
		if want := "docs/runbook.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		severity := a.Labels["severity"]
		if want := strings.ToUpper(severity[:1]) + severity[1:] + ". "; !strings.HasPrefix(sections[a.Alert], want) {
			t.Errorf("docs/runbook.md has no section %s that begins with %q", a.Alert, want)
		}
		delete(sections, a.Alert)
	}
	for name := range sections {
		t.Errorf("docs/runbook.md has a section %s, but there is no such alert", name)
	}
}

// TestAlerts_AreInTable checks that docs/monitoring.md lists every alert with its severity.
func TestAlerts_AreInTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\| \[(\w+)\]\(runbook\.md#(\w+)\) \| (\w+) \|`).FindAllStringSubmatch(string(text), -1) {
		if m[2] != strings.ToLower(m[1]) {
			t.Errorf("docs/monitoring.md links %s to #%s", m[1], m[2])
		}
		listed[m[1]] = m[3]
	}
	for _, a := range alerts(t) {
		if listed[a.Alert] != a.Labels["severity"] {
			t.Errorf("docs/monitoring.md lists %s with severity %q, want %q", a.Alert, listed[a.Alert], a.Labels["severity"])
		}
		delete(listed, a.Alert)
	}
	if len(listed) > 0 {
		t.Errorf("docs/monitoring.md lists alerts that do not exist: %v", slices.Collect(maps.Keys(listed)))
	}
}

// TestAlerts_HaveFiringAndQuietCase reads the unit tests of deploy/prometheus/tests. The integration test runs them.
func TestAlerts_HaveFiringAndQuietCase(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "prometheus", "tests", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, file := range files {
		var f struct {
			Tests []struct {
				InputSeries []struct{ Series string } `yaml:"input_series"`
				Cases       []struct {
					Alert    string `yaml:"alertname"`
					Expected []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		if err := readYAML(file, &f); err != nil {
			t.Fatal(err)
		}
		for _, test := range f.Tests {
			for _, c := range test.Cases {
				if len(c.Expected) > 0 {
					fires[c.Alert] = true
				} else if len(test.InputSeries) > 0 {
					quiet[c.Alert] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: a case in which it fires: %v; one in which it is quiet: %v", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

func dashboard(t *testing.T) *Dashboard {
	t.Helper()
	d, err := ReadDashboard(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 30 {
		t.Fatalf("only %d panels were found", len(d.Panels))
	}
	return d
}

// TestDashboard_PanelsFollowVariables checks that each metric is selected by all variables that apply to it, so that no panel goes on
// showing every instance when one was chosen.
func TestDashboard_PanelsFollowVariables(t *testing.T) {
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			for _, s := range (Expression{Text: target.Expr}).Selectors() {
				if s.Metric == "__rate_interval" {
					continue
				}
				want := []string{"job", "datacentre", "instance"}
				switch level, _, _ := strings.Cut(s.Metric, ":"); level {
				case "datacentre":
					want = []string{"job", "datacentre"}
				case "instance": // of the nodes of Cassandra
					want = []string{"datacentre"}
				}
				for _, label := range want {
					if !slices.Contains(s.Labels, label) || !strings.Contains(target.Expr, label+`=~"$`+label+`"`) {
						t.Errorf("panel %s: %s is not selected by $%s", p.Title, s.Metric, label)
					}
				}
			}
			if left := variables.Replace(target.Expr); strings.Contains(left, "$") {
				t.Errorf("panel %s uses a variable that does not exist: %s", p.Title, left)
			}
		}
	}
}

func TestDashboard_PanelsHaveTheirPlace(t *testing.T) {
	type cell struct{ x, y int }
	cells, ids, titles := make(map[cell]string), make(map[int]bool), make(map[string]bool)
	for _, p := range dashboard(t).Panels {
		if ids[p.ID] || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d %q: another panel has the same id or title", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s has no query", p.Title)
		}
		g := p.GridPos
		if g.X < 0 || g.X+g.W > 24 || g.W < 1 || g.H < 1 {
			t.Errorf("panel %s is outside of the 24 columns: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := cells[cell{x, y}]; other != "" {
					t.Fatalf("panels %s and %s overlap", p.Title, other)
				}
				cells[cell{x, y}] = p.Title
			}
		}
	}
}

func TestDashboard_HasVariables(t *testing.T) {
	var got []string
	for _, v := range dashboard(t).Templating.List {
		got = append(got, v.Name)
	}
	if want := []string{"datasource", "job", "datacentre", "instance"}; !slices.Equal(got, want) {
		t.Errorf("the variables are %v, want %v", got, want)
	}
}

// TestExpressions_UseRecordedSeriesThatExist checks the names of recording rules. The metrics of the service are checked where its
// registry is: see cmd/userinfo.
func TestExpressions_UseRecordedSeriesThatExist(t *testing.T) {
	rules, err := Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for _, r := range rules {
		if r.Record != "" {
			used[r.Record] = false
		}
	}
	expressions, err := Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		for _, s := range e.Selectors() {
			if !strings.Contains(s.Metric, ":") {
				continue
			}
			if _, recorded := used[s.Metric]; !recorded {
				t.Errorf("%s uses %s, which no rule records", e.Where, s.Metric)
			}
			used[s.Metric] = true
		}
	}
	for name, ok := range used {
		if !ok {
			t.Errorf("nothing uses the recorded series %s", name)
		}
	}
}
