//go:build integration

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/internal/testcluster"
)

const (
	testRate  = 40
	mixLength = 12 // seconds
)

// testMutants are the planted bugs that the test plants, with the length of their faults in seconds. Cassandra notices a cut
// after about 20 s. Until then most deletes are hurried, and 204-after-failure needs one that is not.
var testMutants = []struct {
	name    string
	seconds int
}{{"204-after-failure", 30}, {"touch-now", 10}, {"any-datacentre", 8}}

func TestRun_KeepsPromisesAndCatchesMutants(t *testing.T) {
	ctx := context.Background()
	e, err := newEnvironment(ctx, testcluster.Options{}, newLog(testWriter{t}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(ctx); err != nil {
			t.Error(err)
		}
	})
	e.warmUpTimeout, e.calmTimeout, e.watchTime = 20*time.Second, time.Second, 0 // these tests do not judge latency
	if err := e.warmUp(ctx, testRate); err != nil {
		t.Fatal(err)
	}
	s := settings{rate: testRate, seed: 20261124, out: t.TempDir()}
	t.Run("mix of faults", func(t *testing.T) { testMix(ctx, t, e, &s) })
	t.Run("watch", func(t *testing.T) { testWatch(ctx, t, e) })
	t.Run("passwords", func(t *testing.T) { testPasswords(ctx, t, e, &s) })
	for _, test := range testMutants {
		t.Run("mutant "+test.name, func(t *testing.T) {
			m, ok := mutantNamed(test.name)
			if !ok {
				t.Fatal("unknown mutant")
			}
			s.seconds = test.seconds
			p, err := s.mutantPlan(m)
			if err != nil {
				t.Fatal(err)
			}
			code, err := s.runOne(ctx, e, p, testWriter{t})
			if err != nil || code != exitOK {
				t.Errorf("exit code %d, %v; %s must find the bug", code, err, m.invariant)
			}
		})
	}
}

// testMix injects three faults and expects that every promise is kept and was checked.
func testMix(ctx context.Context, t *testing.T, e *environment, s *settings) {
	p := plan{name: "short-mix", verb: "mix", seed: s.seed, rate: s.rate}
	for _, name := range []string{"partition-drop", "half-joined", "instance-kill"} {
		f, _ := faultNamed(name)
		p.steps = append(p.steps, step{fault: f, length: mixLength * time.Second, pause: time.Second})
	}
	h, err := e.runPlan(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := judge.Evaluate(h)
	printVerdicts(testWriter{t}, h, verdicts)
	for _, v := range verdicts {
		if v.Violated() && v.Invariant != "I7" && v.Invariant != "I8" { // the speed of this machine decides I7 and I8
			t.Errorf("%s is broken %d times", v.Invariant, v.Broken)
		}
		if v.Checked == 0 {
			t.Errorf("%s was not checked", v.Invariant)
		}
	}
	if n := unexpectedErrors(h); n*100 > len(h.Operations) {
		t.Errorf("%d of %d operations failed; only requests to the killed instance may fail", n, len(h.Operations))
	}
	if t.Failed() {
		file := filepath.Join(os.TempDir(), "userinfo-drill-failed"+historySuffix)
		t.Logf("saving the history to %s: %v", file, h.Write(file))
	}
}

// testPasswords changes passwords while the datacentres are cut off and while a node is lost.
func testPasswords(ctx context.Context, t *testing.T, e *environment, s *settings) {
	p := plan{name: "short-passwords", verb: "passwords", seed: s.seed, rate: s.rate, passwords: true}
	for _, x := range []struct {
		fault, until string
		length       time.Duration
	}{{"partition-drop", "P2", mixLength * time.Second}, {"node-pause-5", "P5", 5 * time.Second}} {
		f, _ := faultNamed(x.fault)
		f.begin = sequence(f.begin, awaitChecked(x.until))
		p.steps = append(p.steps, step{fault: f, length: x.length})
	}
	h, err := e.runPlan(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := judge.Evaluate(h)
	printVerdicts(testWriter{t}, h, verdicts)
	for _, v := range verdicts {
		if v.Violated() || v.Checked == 0 {
			t.Errorf("%s is broken %d times, and was checked %d times", v.Invariant, v.Broken, v.Checked)
		}
	}
	if t.Failed() {
		file := filepath.Join(os.TempDir(), "userinfo-drill-passwords-failed"+historySuffix)
		t.Logf("saving the history to %s: %v", file, h.Write(file))
	}
}

// awaitChecked returns an action that waits until the history can break an invariant of passwords, however slow the machine
// is.
func awaitChecked(invariant string) action {
	return func(ctx context.Context, r *run) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return poll(ctx, "an operation that could break "+invariant, func() string { return "" }, func() bool {
			soFar := &history.History{Passwords: true, Datacentres: datacentres, Operations: r.recorder.Operations()}
			return slices.ContainsFunc(judge.Evaluate(soFar), func(v judge.Verdict) bool { return v.Invariant == invariant && v.Checked > 0 })
		})
	}
}

// unexpectedErrors counts error answers. It does not count deletes, which fail during a partition, and requests without an
// answer, which the killed instance owes.
func unexpectedErrors(h *history.History) (n int) {
	for i := range h.Operations {
		if o := &h.Operations[i]; o.Method != history.Delete && o.Answered() && o.Errored() {
			n++
		}
	}
	return n
}

// testWatch runs drill watch against the environment.
func testWatch(ctx context.Context, t *testing.T, e *environment) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(e.fleet.Token()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"watch", "-token-file", token, "-ca", e.fleet.CAFile(), "-rate", "60", "-for", "15s", "-settle", "8s", "-out", dir}
	for _, i := range e.instances {
		args = append(args, "-target", i.Datacentre+"="+i.CollectionURL("sessions"))
	}
	var out bytes.Buffer
	if code := execute(ctx, args, &out, testWriter{t}); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "report.md")); err != nil {
		t.Error(err)
	}
}

// testWriter writes to the log of a test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
