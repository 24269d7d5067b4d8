package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

func call(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestAMistakeOnTheCommandLineSaysWhatToChange(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		code int
		says string
	}{
		"no such command":                         {"measure", 2, `there is no "measure"`},
		"no such workload":                        {"run gets", 1, `there is no workload "gets"`},
		"no workload":                             {"run", 1, "name the workloads"},
		"a name after the flags":                  {"run -rounds 2 get", 1, `"get" comes after the flags`},
		"no such target":                          {"run get -against kask", 1, `there is no target "kask"`},
		"a size without a unit":                   {"run get -data 10", 2, `"10" is no size such as 10MB`},
		"less than one value":                     {"run get -data 1kB", 1, "at least one value"},
		"two nodes":                               {"run get -nodes 2", 1, "1, 3 or 6"},
		"no rounds":                               {"run get -rounds 0", 1, "1 or more"},
		"a store without a name":                  {"run get -url https://localhost/", 2, "NAME=URL"},
		"a flag that the command sets itself":     {"grow nodes -nodes 3", 1, "-nodes: without effect in bench grow nodes"},
		"nodes of a store that runs already":      {"grow nodes -url a=https://localhost/", 1, "-url: without effect in bench grow nodes"},
		"nodes of a store in memory":              {"run get -memory -nodes 3", 1, "-nodes: without effect in bench run"},
		"values that are gone at once":            {"run get -ttl 0", 1, "-ttl: 1 or more"},
		"fewer connections than none":             {"run get -connections -5", 1, "-connections: 1 or more"},
		"a flag of other commands":                {"load -rounds 2 -url a=https://localhost/", 1, "-rounds: without effect in bench load"},
		"a directory that is taken":               {"run get -out results", 1, "results has a run already"},
		"nothing to grow":                         {"grow", 2, "data|connections|nodes"},
		"a token that is wanted later":            {"-url a=https://localhost/", 1, "get/token: the client of a has no token: give it one, header=FILE"},
		"a certificate that is wanted in the end": {"run get fresh/mtls -url a=https://localhost/", 1, "fresh/mtls: the client of a has no certificate: give it one"},
		"a store in place of a sidecar":           {"run fresh/sidecar -url a=https://localhost/ -out " + t.TempDir(), 1, "nothing was measured"},
		"a process that there is not":             {"run get -url a=https://localhost/,pid=4194305", 2, "pid of one that runs on this machine"},
		"what is no flag":                         {"run get -round 2", 2, "bench run -h has all flags"},
		"an argument that list has not":           {"list get", 2, "usage: bench list"},
		"no run to report":                        {"report " + t.TempDir(), 1, "no such file"},
		"nothing to compare":                      {"compare one", 2, "OLD NEW"},
		"no store to load":                        {"load", 1, "give one store"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, said := call(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit %d, want %d; it said %q, want %q", code, c.code, said, c.says)
			}
		})
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	for args, says := range map[string]string{
		"-h": "-rounds", "run -h": "-rounds", "grow -h": "-rounds", "load --help": "-ttl", "list -h": "bench list", "report -h": "bench report DIRECTORY", "compare -h": "OLD NEW",
	} {
		if code, _, said := call(t, strings.Fields(args)...); code != 0 || !strings.Contains(said, says) {
			t.Errorf("%s: exit %d, it said %q, want %q", args, code, said, says)
		}
	}
	if _, _, said := call(t, "run", "-round", "2"); strings.Contains(said, "-seconds") {
		t.Errorf("a mistake is drowned in flags: %q", said)
	}
}

func TestATargetThatHasAnsweredNothingIsAnError(t *testing.T) {
	run := &result.Run{Samples: []result.Sample{{Target: "a", Workload: "get", Done: 1}, {Target: "b", Workload: "get", Errors: map[string]int64{"500": 2}},
		{Target: "b", Workload: "set", Done: 1}, {Target: "a", Workload: "get"}}}
	if err := unanswered(run); err == nil || err.Error() != "b has answered no request of get: map[500:2]" {
		t.Error(err)
	}
	run.Samples[1].Done = 1
	if err := unanswered(run); err != nil {
		t.Error(err)
	}
}

func TestEveryWorkloadIsListedAndCanBeMadeOfItsOwnTargets(t *testing.T) {
	code, out, _ := call(t, "list")
	if code != 0 {
		t.Fatal("exit", code)
	}
	seen := make(map[string]bool)
	for _, w := range workloads() {
		if seen[w.name] {
			t.Errorf("%s is there twice", w.name)
		}
		seen[w.name] = true
		if !strings.Contains(out, w.name+" ") {
			t.Errorf("%s is not listed", w.name)
		}
		if w.connections < 1 || w.about == "" || len(w.targets) == 0 {
			t.Errorf("%s is not complete: %+v", w.name, w)
		}
		if (w.mode == result.Open) != (w.rate() > 0) {
			t.Errorf("%s: a schedule is for mode open, and needs a rate: %s, %g/s", w.name, w.mode, w.rate())
		}
	}
	for _, name := range []string{result.Get, result.DesignTarget, result.Latency, result.FreshMTLS, result.FreshMTLSResumed, result.FreshSidecar} {
		if !seen[name] {
			t.Errorf("reports look for %s, which there is not", name)
		}
	}
}

func TestAStoreThatIsNamedTwiceIsMeasuredOnce(t *testing.T) {
	o := options{against: "userinfo-memory,ours", stores: stores{{Name: "ours"}, {Name: "theirs"}}}
	w, err := o.workload(result.Get)
	if want := []string{"userinfo-memory", "ours", "theirs"}; err != nil || !slices.Equal(w.targets, want) {
		t.Errorf("targets %q, want %q (%v)", w.targets, want, err)
	}
}

func TestAStoreThatCannotBeLoadedIsToldWhatItNeeds(t *testing.T) {
	for want, err := range map[string]error{
		"header=": load.Failure("401"), "allowed get and set": load.Failure("403"), "the / at its end": load.Failure("404"),
		"ca=": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
	} {
		if got := hint(fmt.Errorf("setting a value: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := hint(load.Failure("503")); got != "" {
		t.Errorf("503: %q", got)
	}
}

func TestSizesAreRead(t *testing.T) {
	for text, want := range map[string]size{"10MB": 10e6, "1.4GB": 1.4e9, "9GB": 9e9, "2048B": 2048, "4kB": 4000} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%s is %d (%v), want %d", text, s, err, want)
		}
		if again := s.String(); text != "2048B" && again != text {
			t.Errorf("%s is printed as %s", text, again)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"10MB", "1.4GB", "-1B", "", "B", "NaNGB", "1e400kB", "InfGB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s size
		if s.Set(text) == nil && s < 0 {
			t.Errorf("%q is %d", text, s)
		}
	})
}

func TestARunOfAnotherFormatIsNotReported(t *testing.T) {
	dir := t.TempDir()
	if err := (&result.Run{Version: result.Version + 1}).Write(dir + "/" + runFile); err != nil {
		t.Fatal(err)
	}
	b := &bench{ctx: context.Background(), out: io.Discard, err: io.Discard}
	if err := b.report([]string{dir}); err == nil || !strings.Contains(err.Error(), "format") {
		t.Errorf("it said %v", err)
	}
}
