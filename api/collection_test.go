package api

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// withoutInstance returns a response as text, without the request id.
func withoutInstance(w *httptest.ResponseRecorder) string {
	body := regexp.MustCompile(`urn:uuid:[0-9a-f-]+`).ReplaceAllString(w.Body.String(), "INSTANCE")
	var head strings.Builder
	header := w.Result().Header
	header.Del("X-Request-Id")
	if err := header.Write(&head); err != nil {
		panic(err)
	}
	return fmt.Sprint(w.Code, "\n", head.String(), "\n", body)
}

// TestCollection_ForeignKeysLookTheSame shows that a client learns nothing about keys that it may not use. All refusals
// are equal except for the request id, and the store is not called, so timing reveals nothing either.
func TestCollection_ForeignKeysLookTheSame(t *testing.T) {
	var calls sync.Map
	notices := stub(func(_ context.Context, c call) (store.Value, error) {
		if strings.HasPrefix(string(c.key), "dewiki:") {
			calls.Store(string(c.action)+" "+string(c.key), true)
		}
		return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
	})
	s := newAPI(t, setup{store: notices})
	shapes := make(map[string][]string)
	for _, token := range []access.Token{enwiki} {
		for _, key := range []string{"dewiki%3Athere", "dewiki%3Aabsent", "dewiki%3A", "DEWIKI%3Athere", "dewiki%3A" + strings.Repeat("x", 4000)} {
			for _, method := range allMethods {
				for name, change := range map[string]func(*http.Request){
					"as it should be": func(*http.Request) {},
					"a wrong TTL":     func(r *http.Request) { r.Header.Set("TTL", "never") },
					"a large body":    body(http.NoBody, testMaxValue+1),
				} {
					r := requestFor(method, key, token)
					change(r)
					w := httptest.NewRecorder()
					s.api.ServeHTTP(w, r)
					shapes[withoutInstance(w)] = append(shapes[withoutInstance(w)], method+" "+key[:8]+" "+name)
				}
			}
		}
	}
	if len(shapes) != 1 {
		for text, which := range shapes {
			t.Errorf("%v have the response:\n%s", which, text)
		}
	}
	for text := range shapes {
		if !strings.HasPrefix(text, "403") {
			t.Errorf("the response is %s", text)
		}
	}
	calls.Range(func(what, _ any) bool {
		t.Errorf("the store was called: %v", what)
		return true
	})
}

func TestCollection_Lifecycle(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := start(t, setup{})
			c := s.client(t, protocol)
			for _, step := range []struct {
				does, method, ttl, body string
				after                   time.Duration
				status                  int
				problem, value, left    string
			}{
				{does: "get of a key that was never set", method: "GET", status: 404, problem: "not-found"},
				{does: "touch of a key that was never set", method: "PATCH", ttl: "10", status: 404, problem: "not-found"},
				{does: "set by PUT", method: "PUT", body: "one", status: 204},
				{does: "get returns the default TTL", method: "GET", status: 200, value: "one", left: "3600"},
				{does: "get after some time", method: "GET", after: 600 * time.Second, status: 200, value: "one", left: "3000"},
				{does: "set by POST", method: "POST", body: "two", ttl: "20", status: 201},
				{does: "get returns the TTL of the set", method: "GET", status: 200, value: "two", left: "20"},
				{does: "touch", method: "PATCH", ttl: "86400", status: 204},
				{does: "get returns the new TTL and the old value", method: "GET", status: 200, value: "two", left: "86400"},
				{does: "delete", method: "DELETE", status: 204},
				{does: "get after the delete", method: "GET", status: 404, problem: "not-found"},
				{does: "delete of an absent key", method: "DELETE", status: 204},
				{does: "set within the fence", method: "PUT", body: "three", status: 409, problem: "deleted"},
				{does: "touch within the fence", method: "PATCH", ttl: "10", status: 404, problem: "not-found"},
				{does: "set after the fence", method: "PUT", body: "four", after: 2 * time.Minute, status: 204},
				{does: "get after the fence", method: "GET", status: 200, value: "four", left: "3600"},
				{does: "get after the TTL", method: "GET", after: time.Hour, status: 404, problem: "not-found"},
			} {
				s.clock.advance(step.after)
				a := ask{method: step.method, path: "/sessions/v1/enwiki%3AMWSession%3A1"}
				if step.body != "" {
					a.body = strings.NewReader(step.body)
				}
				a.header = as(wiki)
				if step.ttl != "" {
					a.header.Set("TTL", step.ttl)
				}
				got := s.must(t, c, a)
				if got.protocol != protocol || got.status != step.status || got.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%s: %s %d %v; want %s %d no-store", step.does, got.protocol, got.status, got.header, protocol, step.status)
				}
				if step.problem != "" {
					checkProblem(t, got, step.status, step.problem)
				} else if got.body != step.value || got.header.Get("TTL") != step.left {
					t.Fatalf("%s: %q with TTL %q; want %q with %q", step.does, got.body, got.header.Get("TTL"), step.value, step.left)
				}
			}
		})
	}
}

func TestCollection_ResponseHeaders(t *testing.T) {
	s := start(t, setup{})
	c := s.client(t, protocols[0])
	common := []string{"Cache-Control", "Date", "X-Request-Id"}
	withBody := append([]string{"Content-Length", "Content-Type", "X-Content-Type-Options"}, common...)
	for _, test := range []struct {
		ask  ask
		want []string
	}{
		{put("k", "value"), common},
		{get("k"), append([]string{"Ttl"}, withBody...)},
		{ask{method: "PATCH", path: "/sessions/v1/k", header: as(wiki, "TTL", "5")}, common},
		{ask{method: "DELETE", path: "/sessions/v1/k"}, common},
		{get("k"), withBody},
		{put("k", "value"), withBody},
		{ask{method: "GET", path: "/sessions/v1/k", header: as("nobody")}, append([]string{"Www-Authenticate"}, withBody...)},
		{ask{method: "GET", path: "/nowhere"}, withBody},
		{ask{method: "BREW", path: "/sessions/v1/k"}, append([]string{"Allow"}, withBody...)},
	} {
		got := s.must(t, c, test.ask)
		slices.Sort(test.want)
		if have := slices.Sorted(maps.Keys(got.header)); !slices.Equal(have, test.want) {
			t.Errorf("%s %s: %d with %v; want %v", test.ask.method, test.ask.path, got.status, have, test.want)
		}
	}
}

func TestCollection_ValueIsUnchanged(t *testing.T) {
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	s := start(t, setup{})
	for name, value := range map[string]string{
		"one byte": "x", "NUL": "\x00", "every byte": all.String(), "looks like HTTP": "HTTP/1.1 200 OK\r\n\r\n", "HTML": "<script>",
		"2 KB": strings.Repeat("a:1;", 512), "just over a buffer": strings.Repeat("b", 4097), "the largest": strings.Repeat("\xff", testMaxValue),
	} {
		for _, protocol := range protocols {
			c := s.client(t, protocol)
			for _, chunked := range []bool{false, true} {
				a := put("v", value)
				if chunked {
					a.body = io.MultiReader(a.body) // hides the length
				}
				if got := s.must(t, c, a); got.status != 204 {
					t.Fatalf("%s, %s, chunked %v: %d %s", protocol, name, chunked, got.status, got.body)
				}
				if got := s.must(t, c, get("v")); got.body != value || got.header.Get("Content-Type") != "application/octet-stream" {
					t.Errorf("%s, %s, chunked %v: got %d bytes of type %q; want the %d bytes that were sent", protocol, name, chunked, len(got.body), got.header["Content-Type"], len(value))
				}
			}
		}
	}
}

func TestCollection_TTLHeader(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, test := range []struct {
		values []string
		want   time.Duration // 0: refused
	}{
		{values: []string{"1"}, want: time.Second},
		{values: []string{"86400"}, want: testMaxTTL},
		{values: []string{"0000000060"}, want: time.Minute},
		{values: []string{"0"}}, {values: []string{"86401"}}, {values: []string{"-1"}}, {values: []string{"+1"}},
		{values: []string{"1.5"}}, {values: []string{""}}, {values: []string{"1e3"}}, {values: []string{"0x10"}},
		{values: []string{"1 0"}}, {values: []string{"5, 5"}}, {values: []string{"5s"}}, {values: []string{"٣"}},
		{values: []string{"99999999999999999999999999"}}, {values: []string{"9223372036854775808"}}, {values: []string{"18446744073709551617"}},
		{values: []string{"5", "5"}}, {values: []string{"5", "6"}},
	} {
		for _, protocol := range protocols {
			c := s.client(t, protocol)
			for _, method := range []string{"PUT", "POST", "PATCH"} {
				a := ask{method: method, path: "/sessions/v1/k", header: as(wiki)}
				a.header["Ttl"] = test.values
				if method != "PATCH" {
					a.body = strings.NewReader("value")
				}
				got := s.must(t, c, a)
				calls := r.take()
				switch {
				case test.want == 0:
					checkProblem(t, got, 400, "bad-request")
					if len(calls) > 0 {
						t.Errorf("%s %s with TTL %q reached the store", protocol, method, test.values)
					}
				case got.status >= 300 || len(calls) != 1 || calls[0].ttl != test.want:
					t.Errorf("%s %s with TTL %q: %d, %d calls; want one with %v", protocol, method, test.values, got.status, len(calls), test.want)
				}
			}
		}
	}
}

func TestCollection_TouchNeedsTTL(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	checkProblem(t, s.must(t, s.client(t, protocols[0]), ask{method: "PATCH", path: "/sessions/v1/k"}), 400, "bad-request")
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("the request reached the store: %d calls", len(calls))
	}
}

func TestCollection_GetAndDeleteIgnoreTTL(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, method := range []string{"GET", "DELETE"} {
		got := s.must(t, s.client(t, protocols[0]), ask{method: method, path: "/sessions/v1/k", header: as(wiki, "TTL", "-1")})
		if got.status >= 300 {
			t.Errorf("%s: %d", method, got.status)
		}
	}
}

func TestCollection_GetWithoutTTL(t *testing.T) {
	s := start(t, setup{store: stub(func(context.Context, call) (store.Value, error) {
		return store.Value{Data: []byte("no TTL")}, nil
	})})
	got := s.must(t, s.client(t, protocols[0]), get("k"))
	if _, has := got.header["Ttl"]; has || got.body != "no TTL" {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
}

func TestCollection_StoreCalls(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for method, action := range map[string]access.Action{
			"GET": access.Get, "PUT": access.Set, "POST": access.Set, "PATCH": access.Touch, "DELETE": access.Delete,
		} {
			a := ask{method: method, path: "/sessions/v1/enwiki%3A1"}
			if action == access.Set {
				a.body = strings.NewReader("data")
			}
			if action == access.Touch {
				a.header = as(wiki, "TTL", "7")
			}
			s.must(t, c, a)
			calls := r.take()
			if len(calls) != 1 || calls[0].action != action || string(calls[0].key) != "enwiki:1" {
				t.Fatalf("%s %s became %d calls", protocol, method, len(calls))
			}
			if err := calls[0].caller.Check(access.GrantOn("sessions", action), "enwiki:1"); err != nil {
				t.Errorf("%s %s: the store's check of the Caller: %v", protocol, method, err)
			}
			if action == access.Set && string(calls[0].data) != "data" {
				t.Errorf("%s %s: the store received other data", protocol, method)
			}
		}
	}
}

func TestCollection_DeleteContinuesWithoutClient(t *testing.T) {
	for method, goesOn := range map[string]bool{"GET": false, "PUT": false, "PATCH": false, "DELETE": true} {
		var seen error
		s := newAPI(t, setup{store: stub(func(ctx context.Context, _ call) (store.Value, error) {
			seen = ctx.Err()
			return store.Value{}, seen
		})})
		ctx, leave := context.WithCancel(context.Background())
		leave()
		r := httptest.NewRequestWithContext(ctx, method, "/sessions/v1/k", nil)
		r.Header = as(wiki)
		if method == "PUT" {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("v")), 1
		}
		if method == "PATCH" {
			r.Header.Set("TTL", "7")
		}
		s.api.ServeHTTP(httptest.NewRecorder(), r)
		if (seen == nil) != goesOn {
			t.Errorf("%s: the error of the store's context is %v; continues: %v", method, seen, goesOn)
		}
	}
}

func TestCollection_StoreDeadline(t *testing.T) {
	t.Parallel()
	var had atomic.Int64
	s := start(t, setup{store: stub(func(ctx context.Context, c call) (store.Value, error) {
		deadline, _ := ctx.Deadline()
		had.Store(int64(time.Until(deadline)))
		return store.Value{}, store.ErrNotFound
	})})
	for _, a := range []ask{get("k"), put("k", "v"), {method: "PATCH", path: "/sessions/v1/k", header: as(wiki, "TTL", "7")}, {method: "DELETE", path: "/sessions/v1/k"}} {
		s.must(t, s.client(t, protocols[0]), a)
		if d := time.Duration(had.Load()); d <= 0 || d > RequestTimeout {
			t.Errorf("%s: the store had %v; want at most %v", a.method, d, RequestTimeout)
		}
	}
}

func TestCollection_SlowStore(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		s := start(t, setup{requestTimeout: 50 * time.Millisecond, store: stub(func(ctx context.Context, c call) (store.Value, error) {
			<-ctx.Done()
			return store.Value{}, store.ErrUnavailable
		})})
		checkProblem(t, s.must(t, s.client(t, protocol), get("k")), http.StatusServiceUnavailable, "unavailable")
	}
}
