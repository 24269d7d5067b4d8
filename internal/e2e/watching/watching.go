// Package watching reads the files of deploy/prometheus and deploy/grafana, so that tests can compare them with the service and
// with the documents. Its own tests run Prometheus's tools on these files.
//
// It finds metric names in expressions without parsing them: Prometheus's parser is not a library that this module should need. The
// integration tests let promtool parse every expression.
package watching

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rule is an alert or a recording rule.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Rules returns all rules of deploy/prometheus/rules. root is the directory of the project.
func Rules(root string) (all []Rule, err error) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "prometheus", "rules", "*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(fmt.Errorf("no rules below %s", root), err)
	}
	for _, file := range files {
		var f struct {
			Groups []struct {
				Rules []Rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := readYAML(file, &f); err != nil {
			return nil, err
		}
		for _, g := range f.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all, nil
}

// readYAML reads a YAML file into v.
func readYAML(file string, v any) error {
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Dashboard is what tests need of a Grafana dashboard.
type Dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []Panel
}

// Panel is a panel or a row of a dashboard.
type Panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct{ Expr, RefID, LegendFormat string }
}

// ReadDashboard returns deploy/grafana/userinfo.json.
func ReadDashboard(root string) (*Dashboard, error) {
	file := filepath.Join(root, "deploy", "grafana", "userinfo.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := new(Dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// variables replaces Grafana's variables by values that select everything.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$datacentre", ".*", "$instance", ".*")

// Expression is one PromQL expression, and where it stands.
type Expression struct{ Where, Text string }

// Expressions returns the expressions of all panels, with values for the variables.
func (d *Dashboard) Expressions() (all []Expression) {
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			all = append(all, Expression{"panel " + p.Title + ", query " + t.RefID, variables.Replace(t.Expr)})
		}
	}
	return all
}

// Expressions returns the expressions of all rules and of the dashboard.
func Expressions(root string) (all []Expression, err error) {
	rules, err := Rules(root)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		all = append(all, Expression{"rule " + r.Alert + r.Record, r.Expr})
	}
	d, err := ReadDashboard(root)
	if err != nil {
		return nil, err
	}
	return append(all, d.Expressions()...), nil
}

var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	grouping   = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\([^)]*\)|\bgroup_(left|right)\b(\s*\([^)]*\))?`)
	identifier = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?`)
	matcher    = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)`)
)

// Selector is a metric in an expression, and the labels that it is selected by.
type Selector struct {
	Metric string
	Labels []string
}

// Selectors returns the metrics of an expression whose names contain _ or :, and up. Functions such as max_over_time are left out.
func (e Expression) Selectors() (all []Selector) {
	text := grouping.ReplaceAllString(quoted.ReplaceAllString(e.Text, `""`), "")
	for _, m := range identifier.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		isFunction := m[1] < len(text) && text[m[1]] == '('
		if isFunction || name != "up" && !strings.ContainsAny(name, "_:") {
			continue
		}
		s := Selector{Metric: name}
		if m[4] >= 0 {
			for _, l := range matcher.FindAllStringSubmatch(text[m[4]:m[5]], -1) {
				s.Labels = append(s.Labels, l[1])
			}
		}
		all = append(all, s)
	}
	return all
}
