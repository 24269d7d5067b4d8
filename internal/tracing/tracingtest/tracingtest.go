// Package tracingtest receives spans in tests, and shows them as trees.
package tracingtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"userinfo/internal/tracing"
)

// Collector keeps what a Tracer sends. It is safe for concurrent use. The zero Collector is ready.
type Collector struct {
	mu       sync.Mutex
	batches  [][]byte // as they were sent
	requests []string // of HTTP: the request line and the headers
}

// Span is a span that was received.
type Span struct {
	Trace, ID, Parent string // hexadecimal digits
	Name              string
	Kind              string // server, client or internal
	Failed            bool
	Start, End        time.Time
	Attributes        map[string]string
	flags             uint32
}

// HasRemoteParent reports whether the parent is a span of another process.
func (s Span) HasRemoteParent() bool { return s.flags&(1<<9) != 0 }

// Send is a tracing.Sender.
func (c *Collector) Send(_ context.Context, batch []byte) (rejected int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, bytes.Clone(batch))
	return 0, nil
}

// ServeHTTP receives spans as an OTLP collector does.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	_, _ = c.Send(r.Context(), body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header))
}

// Raw returns everything that was received, with the headers of requests.
func (c *Collector) Raw() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(bytes.Join(c.batches, nil), strings.Join(c.requests, "\n")...)
}

// Requests returns the request line and the headers of each request by HTTP.
func (c *Collector) Requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Spans returns all spans that were received, in the order in which they began. If two began at the same moment, the one that ended
// later comes first: a parent before its children. It fails the test if a batch is not valid.
func (c *Collector) Spans(t testing.TB) []Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Span
	for _, batch := range c.batches {
		var request collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(batch, &request); err != nil {
			t.Fatal(err)
		}
		for _, r := range request.GetResourceSpans() {
			for _, scope := range r.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					all = append(all, newSpan(s, r.GetResource().GetAttributes()))
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Span) int { return cmp.Or(a.Start.Compare(b.Start), b.End.Compare(a.End)) })
	return all
}

func newSpan(s *tracepb.Span, resource []*commonpb.KeyValue) Span {
	n := Span{
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Name: s.GetName(), Kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")), flags: s.GetFlags(),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
		Start:  time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Attributes: make(map[string]string),
	}
	for _, a := range slices.Concat(resource, s.GetAttributes()) {
		if v, ok := a.GetValue().GetValue().(*commonpb.AnyValue_IntValue); ok {
			n.Attributes[a.GetKey()] = fmt.Sprint(v.IntValue)
			continue
		}
		n.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return n
}

// Tree shows spans as an indented tree. Spans with the same parent stand in the order of their lines' text, because spans that
// begin at the same moment have no order. Each line has the span's name, the values of the listed attributes that the span has, and
// "failed" for a failed span.
func Tree(spans []Span, attributes ...string) string {
	known := make(map[string]bool)
	for _, s := range spans {
		known[s.ID] = true
	}
	var out strings.Builder
	var write func(parents func(Span) bool, indent string)
	write = func(isChild func(Span) bool, indent string) {
		var children []Span
		for _, s := range spans {
			if isChild(s) {
				children = append(children, s)
			}
		}
		line := func(s Span) string {
			text := s.Name
			for _, a := range attributes {
				if v, ok := s.Attributes[a]; ok {
					text += " " + v
				}
			}
			if s.Failed {
				text += " failed"
			}
			return text
		}
		slices.SortStableFunc(children, func(a, b Span) int { return cmp.Compare(line(a), line(b)) })
		for _, s := range children {
			out.WriteString(indent + line(s) + "\n")
			write(func(child Span) bool { return child.Parent == s.ID }, indent+"  ")
		}
	}
	write(func(s Span) bool { return !known[s.Parent] }, "")
	return out.String()
}

// New returns a Tracer that sends to c and samples this part of the requests. The caller closes it.
func (c *Collector) New(ratio float64) *tracing.Tracer { return newTracer(ratio, c.Send) }

// NewDiscarding returns a Tracer whose spans are encoded and discarded. The caller closes it.
func NewDiscarding(ratio float64) *tracing.Tracer {
	return newTracer(ratio, func(context.Context, []byte) (int64, error) { return 0, nil })
}

func newTracer(ratio float64, send tracing.Sender) *tracing.Tracer {
	return tracing.New(tracing.Config{
		Ratio: ratio, Instance: tracing.Instance{Service: "userinfo", Version: "test", ID: "test", Datacentre: "dc1"}, Send: send,
		Now: time.Now, Random: rand.Uint64, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
}

// Find looks for a secret in bytes that were received: as it is, percent-encoded, in hexadecimal digits and in base64. It returns
// the form in which the secret is there, or an empty string.
func Find(raw []byte, secret string) (form string) {
	forms := map[string]string{
		"as it is":                          secret,
		"percent-encoded":                   url.PathEscape(secret),
		"percent-encoded, also its letters": percentEncode(secret),
		"in hexadecimal digits":             hex.EncodeToString([]byte(secret)),
	}
	for before := range 3 { // how many bytes stand before the secret in what was encoded, modulo 3
		whole := append(make([]byte, before), secret...)
		from, to := (before*8+5)/6, len(whole)*8/6
		forms[fmt.Sprint("in base64, at ", before)] = base64.StdEncoding.EncodeToString(whole)[from:to]
		forms[fmt.Sprint("in base64 for URLs, at ", before)] = base64.URLEncoding.EncodeToString(whole)[from:to]
	}
	text := strings.ToLower(string(raw))
	for name, form := range forms {
		if strings.Contains(text, strings.ToLower(form)) {
			return name
		}
	}
	return ""
}

func percentEncode(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&out, "%%%02X", b)
	}
	return out.String()
}
