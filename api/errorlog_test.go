package api

import (
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"userinfo/access"
	"userinfo/internal/panics"
)

// panicsAt returns how many panics were recovered at a place.
func panicsAt(t testing.TB, s *service, place panics.Place) float64 {
	t.Helper()
	return labelled(t, s, "userinfo_panics_total", string(place))
}

// labelled returns the value of a counter with one label.
func labelled(t testing.TB, s *service, name, label string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s with the label %s", name, label)
	return 0
}

// TestErrorLog_CountsPanics covers a panic in a callback of crypto/tls, and one in a handler outside of requestState.serve.
func TestErrorLog_CountsPanics(t *testing.T) {
	for _, protocol := range protocols {
		var inHandler atomic.Bool
		policy, err := testPolicy()
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, setup{policy: func() *access.Policy {
			if inHandler.Load() {
				panic(planted)
			}
			return policy
		}, configForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.ServerName == "panic.example" {
				panic(errors.New(planted))
			}
			return nil, nil
		}})
		wantServed := func(after string) {
			t.Helper()
			if got := s.must(t, s.client(t, protocol), get("k")); got.status != 404 {
				t.Errorf("%s, after a panic in the %s: another connection: %d", protocol, after, got.status)
			}
		}
		if _, err := s.handshake(&tls.Config{ServerName: "panic.example", InsecureSkipVerify: true}); err == nil {
			t.Error("the handshake succeeded")
		}
		eventually(t, protocol+": a panic in the handshake is counted", func() bool { return panicsAt(t, s, panics.Connection) == 1 }) // net/http logs it after it has answered
		wantServed("handshake")
		inHandler.Store(true)
		if got, err := s.do(s.client(t, protocol), put("k", "value")); err == nil { // net/http does not repeat a PUT
			t.Errorf("%s: answered %d", protocol, got.status)
		}
		inHandler.Store(false)
		eventually(t, protocol+": a panic in the handler is counted", func() bool { return panicsAt(t, s, panics.Connection) == 2 }) // net/http logs it after it has answered
		wantServed("handler")
		log := s.logs.String()
		if !strings.Contains(log, `"msg":"panic","where":"connection"`) || !strings.Contains(log, "errorlog_test.go") || strings.Contains(log, "planted") {
			t.Errorf("the log lacks the stack, or has the value of the panic:\n%s", log)
		}
	}
}
