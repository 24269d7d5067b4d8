package tracing_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"userinfo/internal/tracing"
	"userinfo/internal/tracing/tracingtest"
)

// secret is a credential for the collector. It must be in no error.
const secret = "planted-credential"

func secretHeaders() (http.Header, error) {
	return http.Header{"Authorization": {"Bearer " + secret}}, nil
}

// newServer starts a collector with TLS, and returns its URL and settings that verify it.
func newServer(t *testing.T, h http.Handler) (url string, config *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.URL + "/v1/traces", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestCollector_SendsSpansWithHeaders(t *testing.T) {
	var received tracingtest.Collector
	url, config := newServer(t, &received)
	tr := newTracer(tracing.NewCollector(url, config, secretHeaders).Send, nil)
	tr.span()
	for deadline := time.Now().Add(20 * time.Second); len(received.Requests()) == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	tr.Close()
	if n := len(received.Spans(t)); n != 1 {
		t.Fatalf("%d spans arrived:\n%s", n, &tr.log)
	}
	all := received.Requests()
	for _, want := range []string{"POST /v1/traces ", "Authorization:[Bearer " + secret + "]", "Content-Type:[application/x-protobuf]"} {
		if len(all) != 1 || !strings.Contains(all[0], want) {
			t.Errorf("the request is %q; want %s", all, want)
		}
	}
}

func TestCollector_ClassifiesResponses(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %v", r.Header)
	}))
	defer elsewhere.Close()
	partial, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
		PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		status   int
		body     []byte
		rejected int64
		fails    bool
		refused  bool
	}{
		{"success", 200, nil, 0, false, false},
		{"partial success", 200, partial, 7, false, false},
		{"a success in another format", 200, []byte("{}"), 0, false, false},
		{"a success without a body", 202, nil, 0, false, false},
		{"a bad request", 400, []byte(secret), 0, true, true},
		{"an unknown credential", 401, nil, 0, true, true},
		{"a redirect", 307, nil, 0, true, true},
		{"too many requests", 429, nil, 0, true, false},
		{"a proxy without a collector", 502, nil, 0, true, false},
		{"a busy collector", 503, nil, 0, true, false},
		{"a fault", 500, nil, 0, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, config := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(test.status)
				_, _ = w.Write(test.body)
			}))
			rejected, err := tracing.NewCollector(url, config, secretHeaders).Send(t.Context(), []byte("batch"))
			if rejected != test.rejected || (err != nil) != test.fails || errors.Is(err, tracing.ErrRefused) != test.refused {
				t.Errorf("%d rejected, error %v", rejected, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error contains a secret: %v", err)
			}
		})
	}
}

func TestCollector_VerifiesCertificate(t *testing.T) {
	var received tracingtest.Collector
	url, _ := newServer(t, &received)
	_, err := tracing.NewCollector(url, &tls.Config{RootCAs: x509.NewCertPool()}, secretHeaders).Send(t.Context(), []byte("batch"))
	if err == nil || errors.Is(err, tracing.ErrRefused) || strings.Contains(err.Error(), secret) || len(received.Raw()) > 0 {
		t.Errorf("got error %v, and the server received %q", err, received.Raw())
	}
}

func TestCollector_UnreadableHeadersSendNothing(t *testing.T) {
	var received tracingtest.Collector
	url, config := newServer(t, &received)
	unreadable := errors.New("cannot be opened")
	_, err := tracing.NewCollector(url, config, func() (http.Header, error) { return nil, unreadable }).Send(t.Context(), []byte("batch"))
	if !errors.Is(err, unreadable) || len(received.Raw()) > 0 {
		t.Errorf("got error %v, and the server received %q", err, received.Raw())
	}
}

func TestCollector_AskedPauseIsKept(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"7": 7 * time.Second, "100000": tracing.LongestPause, "": tracing.FirstPause, "-5": tracing.FirstPause, "Wed, 21 Oct 2026 07:28:00 GMT": tracing.FirstPause,
	} {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			tr := newTracer(func(context.Context, []byte) (int64, error) {
				if times = append(times, time.Now()); len(times) == 1 {
					return 0, tracing.Busy(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {after}}})
				}
				return 0, nil
			}, nil)
			tr.span()
			time.Sleep(time.Hour)
			tr.Close()
			if len(times) != 2 || times[1].Sub(times[0]) != want {
				t.Errorf("Retry-After %q: attempts at %v; want a pause of %v", after, times, want)
			}
		})
	}
}

func TestParseHeaders_AcceptsOneHeaderInEachLine(t *testing.T) {
	for text, want := range map[string]int{
		"Authorization: Bearer x":                  1,
		"authorization:Bearer x\r\n\r\nX-A: b\r\n": 2,
		"X-A: b: c\n":                              1,
		"":                                         0,
		"\n\n":                                     0,
		secret:                                     0,
		": " + secret:                              0,
		"X-A:":                                     0,
		"X A: " + secret:                           0,
		"X-A: b\nx-a: " + secret:                   0,
		"Host: " + secret:                          0,
		"content-length: 1":                        0,
		"X-A: b\x00" + secret:                      0,
		"X-A: b\rX-B: " + secret:                   0,
		"X-A: ü" + secret:                          0,
	} {
		h, err := tracing.ParseHeaders([]byte(text))
		if len(h) != want || (err == nil) != (want > 0) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %d headers, %v; want %d", text, len(h), err, want)
		}
	}
}

// FuzzParseHeaders checks that what is accepted can be sent, and comes back from what was sent.
func FuzzParseHeaders(f *testing.F) {
	for _, seed := range []string{"Authorization: Bearer x", "a:b\r\nc: d\n", "", ":", "a:", "X-A: b\rX-B: c", "Host: x", "X-A: \x00", "é: a", "a: é"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := tracing.ParseHeaders(text)
		if (err == nil) != (len(h) > 0) {
			t.Fatalf("%d headers and error %v", len(h), err)
		}
		if err != nil {
			return
		}
		var written strings.Builder
		if err := h.Write(&written); err != nil {
			t.Fatal(err)
		}
		again, err := tracing.ParseHeaders([]byte(written.String()))
		if err != nil || len(again) != len(h) {
			t.Fatalf("%q became %q: %v", text, written.String(), err)
		}
		for name := range h {
			if again.Get(name) != h.Get(name) {
				t.Errorf("%q: %q became %q", name, h.Get(name), again.Get(name))
			}
		}
	})
}
