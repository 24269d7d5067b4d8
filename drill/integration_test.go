//go:build integration

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/internal/testcluster"
)

// The rate and lengths are less than those of drills by hand: all of this shares the machine with the rest of the tests.
const (
	shortRate  = 80
	shortFault = 15
)

func TestAShortMixBreaksNoPromiseAndPlantedBugsAreCaught(t *testing.T) {
	ctx := context.Background()
	f, err := newField(ctx, testcluster.Options{}, newLog(testWriter{t}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := f.warmUp(ctx, shortRate); err != nil {
		t.Fatal(err)
	}
	s := settings{rate: shortRate, seed: 20261124, seconds: shortFault, out: t.TempDir()}

	t.Run("a mix", func(t *testing.T) {
		p := plan{name: "short-mix", seed: s.seed, rate: s.rate}
		for _, name := range []string{"partition-drop", "half-joined", "instance-kill"} {
			fault, _ := faultNamed(name)
			p.faults = append(p.faults, step{fault: fault, length: shortFault * time.Second, pause: time.Second})
		}
		h, err := f.hold(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		verdicts := judge.Evaluate(h)
		printVerdicts(testWriter{t}, h, verdicts)
		for _, v := range verdicts {
			if v.Broken > 0 && !figureOnly[v.Invariant] {
				t.Errorf("%s is broken %d times", v.Invariant, v.Broken)
			}
			if v.Checked == 0 {
				t.Errorf("nothing of %s could be checked", v.Invariant)
			}
		}
		if errs := errorsIn(h); errs*100 > len(h.Operations) {
			t.Errorf("%d of %d operations failed, though clients were to notice none of the faults but that of their own instance", errs, len(h.Operations))
		}
		if t.Failed() {
			file := os.TempDir() + "/userinfo-drill-failed.history.json.gz"
			t.Logf("the history is kept: %s (%v)", file, h.Write(file))
		}
	})
	t.Run("watch, on an installation that it did not make", func(t *testing.T) {
		dir := t.TempDir()
		token := filepath.Join(dir, "token")
		if err := os.WriteFile(token, []byte(f.fleet.Token()), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"watch", "-token-file", token, "-ca", f.fleet.CAFile(), "-rate", "60", "-for", "15s", "-settle", "8s", "-out", dir}
		for _, i := range f.instances {
			args = append(args, "-target", i.Datacentre+"="+i.CollectionURL("sessions"))
		}
		var out bytes.Buffer
		if code := run(ctx, args, &out, testWriter{t}); code != exitOK {
			t.Errorf("exit %d:\n%s", code, out.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "report.html")); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"204-after-failure", "touch-now", "any-datacentre"} {
		t.Run("mutant "+name, func(t *testing.T) {
			m, ok := mutantNamed(name)
			if !ok {
				t.Fatal("there is no such mutant")
			}
			caught, err := s.hunt(ctx, f, m, testWriter{t})
			if err != nil {
				t.Fatal(err)
			}
			if !caught {
				t.Errorf("%s is not seen broken", m.must)
			}
		})
	}
}

// errorsIn counts what clients got no right answer to, but for deletes, which a partition fails, and for what an instance that
// was killed owed them.
func errorsIn(h *history.History) (errs int) {
	for i := range h.Operations {
		o := &h.Operations[i]
		out := o.Outcome()
		if o.Method != history.Delete && o.Status != 0 && (out == history.Unknown || out == history.Failed && o.Problem != "deleted") {
			errs++
		}
	}
	return errs
}

// testWriter writes to the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
