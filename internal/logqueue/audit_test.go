package logqueue

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readPipe returns the writing end of a pipe whose reader reads everything.
func readPipe(b *testing.B) *os.File {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, r)
	}()
	b.Cleanup(func() {
		_ = w.Close()
		<-ended
		_ = r.Close()
	})
	return w
}

// testAudit is an Audit with its clock, log and metrics.
type testAudit struct {
	*Audit
	t        *testing.T
	clock    *clock
	log      *place
	registry *prometheus.Registry
}

const testPatience = 5 * time.Second

func newTestAudit(t *testing.T, required bool, to io.Writer) *testAudit {
	t.Helper()
	a := &testAudit{t: t, clock: &clock{now: time.Unix(1000, 0)}, log: new(place), registry: prometheus.NewRegistry()}
	a.Audit = NewAudit(AuditConfig{
		To: to, Bytes: 20 * reservation, Patience: testPatience, Required: required, Retry: time.Millisecond,
		Now: a.clock.Now, Registry: a.registry, Log: slog.New(slog.NewJSONHandler(a.log, nil)),
	})
	t.Cleanup(func() { a.Close(0) })
	return a
}

// metric returns the value of a metric.
func (a *testAudit) metric(name string) float64 {
	a.t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	a.t.Fatalf("there is no metric %s", name)
	return 0
}

// record reserves and writes one record. It returns whether it was reserved.
func (a *testAudit) record() bool {
	a.t.Helper()
	reserved, err := a.Reserve(false)
	if err != nil {
		a.t.Fatal(err)
	}
	if reserved {
		a.Record(a.t.Context(), slog.String("k", "v"))
	}
	return reserved
}

func TestAudit_WaitsForPatienceAndRecovers(t *testing.T) {
	for name, breaks := range map[string]func() (*place, func()){
		"blocked": blocked,
		"failing": func() (*place, func()) {
			w := &place{fail: failing(0, syscall.ENOSPC)}
			return w, func() { w.failWith(nil) }
		},
	} {
		to, repair := breaks()
		a := newTestAudit(t, true, to)
		a.record()
		a.clock.advance(testPatience)
		a.record() // the first record has waited for exactly as long as allowed
		a.clock.advance(time.Nanosecond)
		for _, refusal := range []bool{true, false} {
			if reserved, err := a.Reserve(refusal); reserved || err == nil {
				t.Errorf("%s: reserved %t, %v; want an error", name, reserved, err)
			}
		}
		if a.Check() == nil || a.metric("userinfo_audit_unavailable") != 1 || a.metric("userinfo_audit_refused_total") != 2 ||
			a.metric("userinfo_audit_unwritten_records") != 2 || a.metric("userinfo_audit_oldest_unwritten_seconds") <= testPatience.Seconds() {
			t.Errorf("%s: %v, and the metrics do not show it", name, a.Check())
		}
		repair()
		awaitWritten(t, a.queue)
		a.record()
		if a.Check() != nil || a.metric("userinfo_audit_unavailable") != 0 || a.metric("userinfo_audit_lost_total") != 0 {
			t.Errorf("%s: not available again", name)
		}
		awaitWritten(t, a.queue)
		if got := to.lines(); len(got) != 3 {
			t.Errorf("%s: %d records; want 3:\n%s", name, len(got), strings.Join(got, "\n"))
		}
		text := strings.Join(a.log.lines(), "\n")
		for _, want := range []string{`"level":"ERROR","msg":"audit records cannot be written","required":true`, `"msg":"audit records can be written again"`} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: want once %s in\n%s", name, want, text)
			}
		}
	}
}

func TestAudit_FullQueue(t *testing.T) {
	to, release := blocked()
	defer release()
	required := newTestAudit(t, true, to)
	refusals := 0
	for ; refusals < 100; refusals++ {
		if reserved, _ := required.Reserve(true); !reserved {
			break
		}
	}
	if refusals != 10 {
		t.Errorf("refusals fill %d of 20 places; want half", refusals)
	}
	deletes := 0
	for ; deletes < 100; deletes++ {
		if _, err := required.Reserve(false); err != nil {
			break
		}
	}
	if deletes != 10 {
		t.Errorf("there is room for %d deletes; want 10", deletes)
	}
	if required.Check() == nil || required.metric("userinfo_audit_unavailable") != 1 {
		t.Error("a full queue counts as available")
	}
	required.Release()
	if reserved, err := required.Reserve(false); !reserved || err != nil {
		t.Errorf("after a release: %t, %v", reserved, err)
	}

	optional := newTestAudit(t, false, to)
	for range 1000 {
		optional.record()
	}
	kept, lost := optional.metric("userinfo_audit_unwritten_records"), optional.metric("userinfo_audit_lost_total")
	if kept+lost != 1000 || kept < 20 || lost == 0 || optional.metric("userinfo_audit_refused_total") != 0 {
		t.Errorf("kept %v, lost %v of 1000", kept, lost)
	}
	release()
	awaitWritten(t, optional.queue)
	if text := strings.Join(to.lines(), "\n"); !strings.Contains(text, `"log":"audit","dropped":`) {
		t.Errorf("the records do not say that some were dropped:\n%s", text)
	}
}

func TestAudit_NotRequiredKeepsRecordsAfterPatience(t *testing.T) {
	to, release := blocked()
	defer release()
	a := newTestAudit(t, false, to)
	a.record()
	a.clock.advance(time.Hour)
	if !a.record() || a.Check() == nil {
		t.Error("a record was dropped although there is room, or the state is not shown")
	}
	if lost := a.Close(time.Millisecond); lost != 2 {
		t.Errorf("%d records are lost; want 2", lost)
	}
}

func TestAudit_CopyMayFail(t *testing.T) {
	var to, log bytes.Buffer
	failingCopy := &place{fail: failing(0, errPlace)}
	a := NewAudit(AuditConfig{
		To: &to, Copy: failingCopy, Bytes: 20 * reservation, Patience: testPatience, Required: true, Now: time.Now,
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	if reserved, err := a.Reserve(false); !reserved || err != nil {
		t.Fatal(reserved, err)
	}
	a.Record(t.Context(), slog.String("k", "v"))
	if lost := a.Close(patience); lost != 0 || !strings.Contains(to.String(), `"msg":"audit","k":"v"`) || failingCopy.writes != 1 {
		t.Errorf("%d lost, records %q, %d copies", lost, to.String(), failingCopy.writes)
	}
}
