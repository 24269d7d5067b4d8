package result

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// threeNodes is a comparison of two builds on three nodes: the old one uses 10 % more CPU, and Cassandra 20 % more.
func threeNodes() *Run {
	c := getCondition
	c.Nodes = 3
	old := service(165)
	old.target = "userinfo:BINARY=/old/userinfo"
	old.cpu[KindCassandra] = 960 * time.Microsecond
	now := service(150)
	now.cpu[KindCassandra] = 800 * time.Microsecond
	r := New([]string{"run", "get", "-nodes", "3"}, map[string]string{"CPU": "a *star*"})
	r.Samples = samples(1, 0, c, 4, now, old)
	return r
}

func TestReport_ComparesBuilds(t *testing.T) {
	r := threeNodes()
	d, err := r.report()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    go run ./bench run get -nodes 3\n",
		"closed loop, 32 connections, 3 nodes, 10MB of data, 2.048kB values | userinfo | 3,333 | 3 | ",
		"| userinfo:BINARY=/old/userinfo | 3,030 | 3.3 | ",
		"| 150 | 800 | 30 | ",
		"| userinfo ÷ userinfo:BINARY=/old/userinfo | 1.1 | 0.909 | 0.833 | 0.909 | ",
		"| CPU | a \\*star\\* |",
		"](cost.png)",
	} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("no %q in\n%s", want, d)
		}
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := r.WriteReport(dir); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"report.md", "cost.png"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestReport_ShowsErrorsAndLateness(t *testing.T) {
	c := getCondition
	c.Mode, c.Rate = Open, 3000
	failing, behind := service(50), service(50)
	failing.errors, behind.target = 7, "slow"
	r := New(nil, nil)
	r.Samples = samples(1, 0, c, 3, failing, behind)
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Target == "slow" {
			s.InTime /= 2
			s.Late.Add(20 * time.Millisecond)
		}
	}
	d, err := r.report()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| 21 |\n", "userinfo, 3,000 requests/s, 32 connections, 1 nodes, 10MB of data, 2.048kB values: errors were 503", "fell behind its rate in 3 of 3 rounds", "20 ms late or later"} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("no %q in\n%s", want, d)
		}
	}
}

func TestReport_PlotsGrowth(t *testing.T) {
	r := New(nil, nil)
	for _, data := range []int64{10e6, 9e9} {
		c := getCondition
		c.Data = data
		r.Samples = append(r.Samples, samples(1, 0.1, c, 3, service(50))...)
	}
	d, err := r.report()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"](by-data.png)"} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("no %q in\n%s", want, d)
		}
	}
	if strings.Contains(d.String(), "by-nodes") {
		t.Error("there is a plot of one number of nodes")
	}
}

func TestReport_OfEmptyRun(t *testing.T) {
	if _, err := New(nil, nil).report(); err != nil {
		t.Error(err)
	}
}
