package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// call runs the program.
func call(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = run(context.Background(), args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestRun_ExplainsMistakes(t *testing.T) {
	taken := t.TempDir()
	if err := result.New(nil, nil).Write(taken); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args string
		code int
		want string
	}{
		"unknown command":                {"measure", 2, `unknown command "measure"`},
		"unknown workload":               {"run gets", 1, `there is no workload "gets"`},
		"no workload":                    {"run", 1, "name one or more workloads"},
		"a name after the flags":         {"run -rounds 2 get", 1, `"get" comes after the flags`},
		"unknown target":                 {"run get -against kask", 1, `there is no target "kask"`},
		"a setting without value":        {"run get -against userinfo:GOGC", 1, `"GOGC" is not NAME=VALUE`},
		"a size of no unit":              {"run get -data 10x", 2, `"10x" is not a size such as 10MB`},
		"less data than one value":       {"run get -data 1kB", 1, "at least one value"},
		"two nodes":                      {"run get -nodes 2", 1, "must be 1, 3 or 6"},
		"no rounds":                      {"run get -rounds 0", 1, "at least 1"},
		"a store without name":           {"run get -url https://localhost/", 2, "NAME=URL"},
		"a flag that the command sets":   {"grow nodes -nodes 3", 1, "-nodes has no effect in this call of bench grow nodes"},
		"nodes of a running store":       {"grow nodes -url a=https://localhost/", 1, "-url has no effect"},
		"nodes of a memory store":        {"run get -memory -nodes 3", 1, "-nodes has no effect"},
		"no TTL":                         {"run get -ttl 0", 1, "-ttl must be at least 1"},
		"negative connections":           {"run get -connections -5", 1, "must not be negative"},
		"a flag of other commands":       {"load -rounds 2 -url a=https://localhost/", 1, "-rounds has no effect in this call of bench load"},
		"a directory with a run":         {"run get -out " + taken, 1, "already has a run"},
		"nothing to grow":                {"grow", 2, "data|connections|nodes"},
		"a missing token, at once":       {"-url a=https://localhost/", 1, "get/token: the client of a has no token: add header=FILE"},
		"a missing certificate, at once": {"run get fresh/mtls -url a=https://localhost/", 1, "fresh/mtls: the client of a has no certificate: add certificate="},
		"a store instead of a sidecar":   {"run fresh/sidecar -url a=https://localhost/ -out " + t.TempDir(), 1, "nothing was measured"},
		"a process that does not exist":  {"run get -url a=https://localhost/,pid=4194305", 2, "process that runs on this machine"},
		"an unknown flag":                {"run get -round 2", 2, "bench run -h explains the flags"},
		"an argument of list":            {"list get", 2, "usage: bench list"},
		"a report without directory":     {"report " + taken, 2, "usage: bench report -to DIRECTORY RUN..."},
		"a report of no run":             {"report -to x " + t.TempDir(), 1, "no such file"},
		"nothing to compare with":        {"compare one", 2, "OLD NEW"},
		"no store to load":               {"load", 1, "give one store"},
		"targets of a profile":           {"profile -against userinfo", 1, "-against has no effect"},
		"a baseline without arguments":   {"baseline", 1, "handler|loop"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := call(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, want %d; it wrote %q, want %q in it", code, c.code, stderr, c.want)
			}
		})
	}
}

func TestRun_ExplainsFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-h": "-rounds", "run -h": "-rounds", "grow -h": "-rounds", "load --help": "-ttl", "list -h": "bench list", "report -h": "bench report -to", "compare -h": "OLD NEW",
	} {
		if code, _, stderr := call(t, strings.Fields(args)...); code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, it wrote %q, want %q in it", args, code, stderr, want)
		}
	}
	if _, _, stderr := call(t, "run", "-round", "2"); strings.Contains(stderr, "-seconds") {
		t.Errorf("a mistake prints all flags: %q", stderr)
	}
}

func TestUnanswered_NamesTargetAndWorkload(t *testing.T) {
	sample := func(target, workload string, done int64) result.Sample {
		return result.Sample{Target: target, Condition: result.Condition{Workload: workload}, Done: done, Errors: map[string]int64{"500": 2}}
	}
	all := []result.Sample{sample("a", "get", 1), sample("b", "get", 0), sample("b", "set", 1), sample("a", "get", 0)}
	if err := unanswered(all); err == nil || err.Error() != "b has answered no request of get correctly: map[500:2]" {
		t.Error(err)
	}
	all[1].Done = 1
	if err := unanswered(all); err != nil {
		t.Error(err)
	}
}

func TestWorkloads_AreListedAndComplete(t *testing.T) {
	code, out, _ := call(t, "list")
	if code != 0 {
		t.Fatal("exit", code)
	}
	seen := make(map[string]bool)
	for _, w := range workloads() {
		if seen[w.name] || !strings.Contains(out, w.name+" ") {
			t.Errorf("%s is listed twice or not at all", w.name)
		}
		seen[w.name] = true
		if w.connections < 1 || w.valueBytes < 1 || w.about == "" || len(w.targets) == 0 || (w.mode == result.Open) != (w.rate > 0) {
			t.Errorf("%s is incomplete: %+v", w.name, w)
		}
		if _, err := load.NewGenerator(nil, load.Config{Mix: w.mix, Data: load.DatasetOf(1e6, w.valueBytes), Connections: w.connections}); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	for _, name := range slices.Concat(goalGroups...) {
		if !seen[name] {
			t.Errorf("the goals need %s", name)
		}
	}
	w, err := workloadNamed("production")
	if want := (load.Mix{Get: 1750, Set: 600, Touch: 5, Delete: 25, Keys: load.Zipf}); err != nil || w.mix != want {
		t.Errorf("production is %+v (%v)", w, err)
	}
}

func TestOptions_ChooseTargets(t *testing.T) {
	stores := stores{{Name: "ours"}, {Name: "theirs"}}
	for name, c := range map[string]struct {
		options  options
		workload string
		want     []string
	}{
		"the workload's own":        {options{}, result.Get, []string{"userinfo", "handler", "driver", "redis"}},
		"stores instead":            {options{stores: stores}, result.Get, []string{"ours", "theirs"}},
		"each store once":           {options{against: "userinfo-memory,ours", stores: stores}, result.Get, []string{"userinfo-memory", "ours", "theirs"}},
		"two builds":                {options{against: "userinfo,userinfo:BINARY=/x"}, result.Get, []string{"userinfo", "userinfo:BINARY=/x"}},
		"no Cassandra":              {options{memory: true}, result.FreshMTLS, []string{"userinfo-memory", "loop", "handler"}},
		"two builds, no Cassandra":  {options{memory: true, against: "userinfo,userinfo:BINARY=/x,driver"}, result.Get, []string{"userinfo-memory", "userinfo-memory:BINARY=/x"}},
		"one service for a sidecar": {options{against: "handler,userinfo,userinfo:A=1", stores: stores}, "fresh/sidecar", []string{"userinfo"}},
	} {
		w, err := c.options.workload(c.workload)
		if err != nil || !slices.Equal(w.targets, c.want) {
			t.Errorf("%s: %q, want %q (%v)", name, w.targets, c.want, err)
		}
	}
}

func TestRemedy_TellsWhatToChange(t *testing.T) {
	for want, err := range map[string]error{
		"header=": load.Failure("401"), "allow its client": load.Failure("403"), "a slash at the end": load.Failure("404"),
		"ca=": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
	} {
		if got := remedy(fmt.Errorf("setting a value: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q in it", err, got, want)
		}
	}
	if got := remedy(load.Failure("503")); got != "" {
		t.Errorf("503: %q", got)
	}
}

func TestIsStable_ComparesTwoRounds(t *testing.T) {
	sample := func(mode result.Mode, done int64, p50 time.Duration, errors int64) result.Sample {
		s := result.Sample{Condition: result.Condition{Mode: mode}, Done: done, Latency: result.NewHistogram(), Errors: map[string]int64{"503": errors}}
		s.Latency.Add(p50)
		return s
	}
	for name, c := range map[string]struct {
		before, after result.Sample
		want          bool
	}{
		"nothing before":         {result.Sample{}, sample(result.Closed, 100, 1000, 0), false},
		"closed, 4 % more":       {sample(result.Closed, 100, 1000, 0), sample(result.Closed, 104, 9000, 0), true},
		"closed, 6 % more":       {sample(result.Closed, 100, 1000, 0), sample(result.Closed, 106, 1000, 0), false},
		"closed, a new error":    {sample(result.Closed, 100, 1000, 0), sample(result.Closed, 100, 1000, 1), false},
		"nothing answered":       {sample(result.Closed, 0, 1000, 5), sample(result.Closed, 0, 1000, 5), false},
		"open, the same latency": {sample(result.Open, 100, time.Second, 0), sample(result.Open, 200, time.Second, 0), true},
		"open, less latency":     {sample(result.Open, 100, time.Second, 0), sample(result.Open, 100, time.Second/2, 0), false},
	} {
		if got := isStable(&c.before, &c.after); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestSize_ReadsAndPrintsUnits(t *testing.T) {
	for text, want := range map[string]size{"10MB": 10e6, "1.4GB": 1.4e9, "9GB": 9e9, "4kB": 4000} {
		var s size
		if err := s.Set(text); err != nil || s != want || s.String() != text {
			t.Errorf("%s is %d (%v), printed as %s", text, s, err, &s)
		}
	}
}

func TestBuildProfiled_Compiles(t *testing.T) {
	dir := t.TempDir()
	if err := buildProfiled(t.Context(), dir, dir+"/userinfo"); err != nil {
		t.Error(err)
	}
}
