package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/store"
)

// Ids that a client sends.
const (
	clientID    = "67e55044-10b1-426f-9247-bb680e5fe0c8"
	clientTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// traced returns a header with a token and the client's ids.
func traced(token access.Token) http.Header {
	return as(token, "X-Request-Id", clientID, "traceparent", clientTrace)
}

// ids are the fields of a record that identify a request.
type ids struct {
	RequestID string `json:"request_id"`
	TraceID   string `json:"trace_id"`
	ParentID  string `json:"parent_id"`
}

// idsIn returns the ids of each line of a log.
func idsIn(t *testing.T, log string) (all []ids) {
	t.Helper()
	for line := range strings.Lines(log) {
		var one ids
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func TestTrace_OfAuthenticatedClientIsUsed(t *testing.T) {
	want := ids{clientID, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"}
	for _, test := range []struct {
		name, method, path string
		token              access.Token
		status             int
		audited            bool
	}{
		{"a value", "GET", "/sessions/v1/k", wiki, 200, false},
		{"a set", "PUT", "/sessions/v1/k", wiki, 204, false},
		{"a delete", "DELETE", "/sessions/v1/k", wiki, 204, true},
		{"a foreign key", "GET", "/sessions/v1/k", enwiki, 403, true},
		{"metrics", "GET", "/metrics", prom, 200, false},
		{"metrics, without the grant", "HEAD", "/metrics", wiki, 403, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAPI(t, setup{store: new(recorder).store()})
			got := s.serve(test.method, test.path, traced(test.token))
			if got.status != test.status || got.header.Get("X-Request-Id") != clientID {
				t.Errorf("%d %v; want %d with the client's id", got.status, got.header, test.status)
			}
			if got.status >= 400 && !strings.Contains(got.body, `"instance":"urn:uuid:`+clientID+`"`) {
				t.Errorf("the instance is not the client's id: %s", got.body)
			}
			if log := idsIn(t, s.logs.String()); len(log) != 1 || log[0] != want {
				t.Errorf("the log has %v; want %v", log, want)
			}
			if audit := idsIn(t, s.audit.String()); (len(audit) == 1 && audit[0] == want) != test.audited {
				t.Errorf("the audit records have %v", audit)
			}
		})
	}
}

func TestTrace_OfUnauthenticatedRequestIsIgnored(t *testing.T) {
	for _, test := range []struct {
		name, path string
		token      access.Token
		setup      setup
		status     int
	}{
		{"an unknown token", "/sessions/v1/k", "unknown", setup{}, 401},
		{"no credential", "/sessions/v1/k", "", setup{}, 401},
		{"no credential, where none is needed", "/healthz", "", setup{policy: healthOf(access.Alternative{Network: []string{"192.0.2.0/24"}})}, 200},
		{"an unknown path", "/nothing", wiki, setup{}, 404},
		{"a query string", "/sessions/v1/k?x", wiki, setup{}, 400},
		{"overload", "/sessions/v1/k", wiki, setup{maxInFlight: -1}, 503},
		{"health, which is open", "/healthz", wiki, setup{}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAPI(t, test.setup)
			header := traced(test.token)
			if test.token == "" {
				header.Del("Authorization")
			}
			got := s.serve("GET", test.path, header)
			id := got.header.Get("X-Request-Id")
			if got.status != test.status || !uuidForm.MatchString(id) || id == clientID {
				t.Errorf("%d with the id %q; want %d with an id of our own", got.status, id, test.status)
			}
			if got.status >= 400 && !strings.Contains(got.body, `"instance":"urn:uuid:`+id+`"`) {
				t.Errorf("the instance is not %s: %s", id, got.body)
			}
			all := s.logs.String() + s.audit.String()
			for _, one := range idsIn(t, all) {
				if want := (ids{RequestID: id}); one != want {
					t.Errorf("a record has %v; want %v", one, want)
				}
			}
			if all == "" || strings.Contains(all, clientID) || strings.Contains(all, "4bf92f35") {
				t.Errorf("the log is %s", all)
			}
		})
	}
}

func TestTrace_UnusableIDsAreIgnored(t *testing.T) {
	s := newAPI(t, setup{store: new(recorder).store()})
	for _, h := range []http.Header{
		as(wiki), as(wiki, "X-Request-Id", ""), as(wiki, "X-Request-Id", "planted key"), as(wiki, "X-Request-Id", clientID, "X-Request-Id", clientID),
		as(wiki, "traceparent", "planted"), as(wiki, "traceparent", clientTrace, "traceparent", clientTrace),
	} {
		got := s.serve("GET", "/sessions/v1/k", h)
		if id := got.header.Get("X-Request-Id"); got.status != 200 || !uuidForm.MatchString(id) || id == clientID {
			t.Errorf("%v: %d with the id %q", h, got.status, id)
		}
	}
	if log := s.logs.String(); strings.Contains(log, "planted") || strings.Contains(log, "trace_id") {
		t.Errorf("the log is %s", log)
	}
}

// TestTrace_SameIDForEveryRequest shows that nothing relies on ids that differ.
func TestTrace_SameIDForEveryRequest(t *testing.T) {
	s := newAPI(t, setup{})
	for range 3 {
		for method, want := range map[string]int{"PUT": 204, "DELETE": 204} {
			key := "/sessions/v1/" + method
			if got := s.serve(method, key, traced(wiki)); got.status != want {
				t.Errorf("%s: %d", method, got.status)
			}
		}
	}
	if got := idsIn(t, s.audit.String()); len(got) != 3 || got[0] != got[2] {
		t.Errorf("%d audit records of 3 deletes: %v", len(got), got)
	}
}

func TestTrace_PanicHasRequestID(t *testing.T) {
	s := newAPI(t, setup{store: stub(func(context.Context, call) (store.Value, error) { panic(planted) })})
	s.serve("GET", "/sessions/v1/k", traced(wiki))
	for _, one := range idsIn(t, s.logs.String()) {
		if one.RequestID != clientID {
			t.Errorf("a record has %v", one)
		}
	}
}

func TestLogHandler_AddsIDsOfRequest(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(LogHandler(slog.NewJSONHandler(&out, nil))).With("a", 1)
	s := newAPI(t, setup{store: stub(func(ctx context.Context, _ call) (store.Value, error) {
		log.InfoContext(context.WithoutCancel(ctx), "from the store")
		return store.Value{}, store.ErrNotFound
	})})
	s.serve("GET", "/sessions/v1/k", traced(wiki))
	log.InfoContext(t.Context(), "from elsewhere")
	log.WithGroup("g").Info("in a group")
	want := []ids{{clientID, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"}, {}, {}}
	if got := idsIn(t, out.String()); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("the log is %s", &out)
	}
}

func TestParseRequestID_AcceptsOneUUID(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{clientID, clientID},
		{strings.ToUpper(clientID), clientID},
		{"67e55044-10b1-926f-9247-bb680e5fe0c8", "67e55044-10b1-926f-9247-bb680e5fe0c8"}, // Envoy changes the version digit of traced requests
		{"018f4f2a-0000-7000-8000-000000000001", "018f4f2a-0000-7000-8000-000000000001"},
		{"", ""}, {"00000000-0000-0000-0000-000000000000", ""}, {"ffffffff-ffff-ffff-ffff-ffffffffffff", ""},
		{"urn:uuid:" + clientID, ""}, {"{" + clientID + "}", ""}, {strings.ReplaceAll(clientID, "-", ""), ""},
		{clientID + " ", ""}, {" " + clientID[:35], ""}, {clientID + ", " + clientID, ""}, {clientID[:35] + "g", ""},
		{"67e55044+10b1-426f-9247-bb680e5fe0c8", ""}, {strings.Repeat("a", 36), ""}, {strings.Repeat("a", 60_000), ""},
	} {
		if got, ok := parseRequestID([]string{test.value}); got != test.want || ok != (test.want != "") {
			t.Errorf("%.80q: %q, %t; want %q", test.value, got, ok, test.want)
		}
	}
	for _, values := range [][]string{nil, {}, {clientID, clientID}} {
		if got, ok := parseRequestID(values); got != "" || ok {
			t.Errorf("%q: %q", values, got)
		}
	}
}

func TestParseTraceparent_AcceptsW3CForm(t *testing.T) {
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for value, good := range map[string]bool{
		clientTrace: true, "00-" + trace + "-" + parent + "-00": true, "00-" + trace + "-" + parent + "-ff": true,
		"01-" + trace + "-" + parent + "-01": true, "cc-" + trace + "-" + parent + "-01-what-the-future-brings": true, "fe-" + trace + "-" + parent + "-01-": true,
		"": false, "00": false, "ff-" + trace + "-" + parent + "-01": false, "0-" + trace + "-" + parent + "-01x": false,
		clientTrace + "-": false, clientTrace + "-00": false, clientTrace + "0": false, "01-" + trace + "-" + parent + "-011": false, "01-" + trace + "-" + parent + "-01.x": false,
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01": false, "00-" + trace + "-" + strings.Repeat("0", 16) + "-01": false,
		strings.ToUpper(clientTrace): false, "00-" + trace[:31] + "g-" + parent + "-01": false, "00-" + trace + "-" + parent[:15] + "\n-01": false,
		"0x-" + trace + "-" + parent + "-01": false, "00-" + trace + "-" + parent + "-0x": false, "00_" + trace + "-" + parent + "-01": false,
		"00-" + trace + "_" + parent + "-01": false, "00-" + trace + "-" + parent + "_01": false, " " + clientTrace: false, clientTrace + " ": false,
	} {
		gotTrace, gotParent, ok := parseTraceparent([]string{value})
		if ok != good || good && (gotTrace != trace || gotParent != parent) || !good && gotTrace+gotParent != "" {
			t.Errorf("%q: %q %q %t", value, gotTrace, gotParent, ok)
		}
	}
	for _, values := range [][]string{nil, {}, {clientTrace, clientTrace}} {
		if _, _, ok := parseTraceparent(values); ok {
			t.Errorf("%q is accepted", values)
		}
	}
}

// FuzzRequestID checks that an accepted id is a UUID in lower case.
func FuzzRequestID(f *testing.F) {
	for _, seed := range []string{clientID, strings.ToUpper(clientID), "", "urn:uuid:" + clientID, "{" + clientID + "}", strings.ReplaceAll(clientID, "-", ""), strings.Repeat("0", 36)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		id, ok := parseRequestID([]string{value})
		if ok != (id != "") || ok && (!uuidForm.MatchString(id) || id != strings.ToLower(value)) {
			t.Errorf("%q: %q, %t", value, id, ok)
		}
	})
}

// FuzzTraceparent checks that accepted ids are hexadecimal digits of the value, and not zero.
func FuzzTraceparent(f *testing.F) {
	for _, seed := range []string{clientTrace, strings.ToUpper(clientTrace), "cc" + clientTrace[2:] + "-x", "ff" + clientTrace[2:], clientTrace + "-", "", strings.Repeat("0", 55)} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-(?s:.*))?$`)
	f.Fuzz(func(t *testing.T, value string) {
		traceID, parentID, ok := parseTraceparent([]string{value})
		parts := form.FindStringSubmatch(value)
		want := parts != nil && parts[1] != "ff" && (parts[1] != "00" || parts[4] == "") && strings.Trim(parts[2], "0") != "" && strings.Trim(parts[3], "0") != ""
		if ok != want || ok && (traceID != parts[2] || parentID != parts[3]) {
			t.Errorf("%q: %q %q %t; want %t", value, traceID, parentID, ok, want)
		}
	})
}
