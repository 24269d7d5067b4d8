package load

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/drill/history"
)

// newTestRecorder returns a recorder with one target that h serves.
func newTestRecorder(t *testing.T, h http.HandlerFunc) (*Recorder, Target) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	target := Target{Name: "i", DC: "dc1", URL: func() string { return server.URL + "/s/v1/" }, Run: func() int { return 3 }}
	r := NewRecorder([]Target{target}, roots, "secret", time.Now())
	t.Cleanup(r.Close)
	return r, target
}

func TestRecorder_RecordsRequestAndAnswer(t *testing.T) {
	var stored string
	r, target := newTestRecorder(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer secret" || q.URL.EscapedPath() != "/s/v1/a%2Fb" {
			t.Errorf("request for %s with %q", q.URL.EscapedPath(), q.Header.Get("Authorization"))
		}
		switch q.Method {
		case http.MethodPut:
			body, err := io.ReadAll(q.Body)
			if err != nil || q.Header.Get("TTL") != "60" {
				t.Errorf("TTL %q, %v", q.Header.Get("TTL"), err)
			}
			stored = string(body)
			w.WriteHeader(http.StatusNoContent)
		case http.MethodGet:
			w.Header().Set("TTL", "59")
			fmt.Fprint(w, stored)
		case http.MethodDelete:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"type":"urn:userinfo:problem:not-everywhere"}`)
		}
	})
	set := r.Do(target, history.Operation{Method: history.Set, Key: "a/b", TTL: 60})
	if set.Status != 204 || set.ID != 1 || set.Version != 1 || set.DC != "dc1" || set.Instance != "i" || set.Complete < set.Invoke {
		t.Errorf("set: %+v", set)
	}
	if get := r.Do(target, history.Operation{Method: history.Get, Key: "a/b"}); get.Version != 1 || get.OfKey != "a/b" || get.TTL != 59 {
		t.Errorf("get: %+v", get)
	}
	if del := r.Do(target, history.Operation{Method: history.Delete, Key: "a/b"}); del.Outcome() != history.Local {
		t.Errorf("delete: %+v", del)
	}
	if all := r.Operations(); len(all) != 3 || all[1].Run != 3 {
		t.Errorf("operations %+v", all)
	}
}

func TestRecorder_RecordsAMissingAnswerWithoutTheKey(t *testing.T) {
	r, target := newTestRecorder(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	o := r.Do(target, history.Operation{Method: history.Get, Key: "key"})
	if o.Status != 0 || o.Error != "EOF" {
		t.Errorf("%+v", o)
	}
}

func TestRecorder_RunSendsTheScheduleUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var requests atomic.Int32
	r, target := newTestRecorder(t, func(w http.ResponseWriter, q *http.Request) {
		if requests.Add(1) == 20 {
			cancel()
		}
	})
	r.Run(ctx, NewSchedule(1, 200, 1, "k:"), [][]Target{{target}})
	all := r.Operations()
	if len(all) < 20 {
		t.Errorf("%d operations, %d requests", len(all), requests.Load())
	}
	for _, o := range all {
		if o.Invoke < o.Due || o.Complete < o.Invoke {
			t.Errorf("due %v, started %v, completed %v", o.Due, o.Invoke, o.Complete)
		}
	}
}

func TestRecorder_FloodAndReadAll(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, target := newTestRecorder(t, func(http.ResponseWriter, *http.Request) {})
	r.Flood(ctx, []Target{target}, 1000, func(n int) history.Operation {
		if n == 5 {
			cancel()
		}
		return history.Operation{Method: history.Set, Key: fmt.Sprint("key", n%2)}
	})
	r.ReadAll([][]Target{{target}, {target}})
	final := 0
	for _, o := range r.Operations() {
		if o.Final {
			final++
		}
	}
	if final != 4 {
		t.Errorf("%d final reads of 2 keys in 2 datacentres", final)
	}
}

func TestRecorder_DueSinceSelectsByDueTime(t *testing.T) {
	r := &Recorder{}
	for _, due := range []int{1, 4, 2, 3, 5} { // 4 was faster than 2 and 3
		r.operations = append(r.operations, history.Operation{ID: int64(due), Due: time.Duration(due) * time.Second, Complete: time.Duration(due+3) * time.Second})
	}
	r.operations[1].Complete = 5 * time.Second
	seen := make(map[int64]bool)
	for _, o := range r.DueSince(3 * time.Second) {
		seen[o.ID] = true
	}
	if len(seen) != 3 || !seen[3] || !seen[4] || !seen[5] {
		t.Errorf("operations %v, want 3, 4 and 5", seen)
	}
}
