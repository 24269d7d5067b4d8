package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of what one instance may send.
const (
	maxMetricsBytes = 16 << 20
	maxListBytes    = 1 << 20
)

// Scrape is what one instance said about itself at one time.
type Scrape struct {
	at       time.Time
	families map[string]*dto.MetricFamily
	// rewritten are the most rewritten keys. If they cannot be had, rewrittenErr says why.
	rewritten    []rewrittenCollection
	rewrittenErr error
}

// rewrittenCollection is one collection in the list of rewritten keys. The list has more fields: see api/openapi.yaml.
type rewrittenCollection struct {
	Collection string `json:"collection"`
	Keys       []struct {
		Hash      string `json:"hash"`
		Writes    uint64 `json:"writes"`
		Unchanged uint64 `json:"unchanged"`
	} `json:"keys"`
}

// Client scrapes instances.
type Client struct {
	HTTP *http.Client
	// Authorization is the header of each request; empty for none.
	Authorization string
}

var (
	errNoList    = errors.New("this instance has no list of rewritten keys: it is an older version")
	errForbidden = errors.New("needs the grant operators:get, and credentials that the audience operators accepts")
)

// Fetch scrapes the instance with this URL. Without the list of rewritten keys, it still succeeds.
func (c Client) Fetch(ctx context.Context, base string) (*Scrape, error) {
	s := new(Scrape)
	err := c.get(ctx, base+"/metrics", func(body io.Reader) error { return s.parseMetrics(io.LimitReader(body, maxMetricsBytes)) })
	var status statusError
	if errors.As(err, &status) && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		return nil, fmt.Errorf("%w: needs the grant metrics:get, and credentials that the audience metrics accepts", err)
	}
	if err != nil {
		return nil, err
	}
	s.rewrittenErr = c.get(ctx, base+"/operators/v1/rewritten-keys", func(body io.Reader) error { return s.parseList(io.LimitReader(body, maxListBytes)) })
	if errors.As(s.rewrittenErr, &status) {
		switch status {
		case http.StatusNotFound:
			s.rewrittenErr = errNoList
		case http.StatusUnauthorized, http.StatusForbidden:
			s.rewrittenErr = errForbidden
		}
	}
	return s, nil
}

// statusError is a response with another status than 200.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("the answer is %d", int(s)) }

// get sends one request and calls parse with the body of the response. Its errors do not repeat the URL.
func (c Client) get(ctx context.Context, address string, parse func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/plain;version=0.0.4, application/json")
	if c.Authorization != "" {
		r.Header.Set("Authorization", c.Authorization)
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return statusError(response.StatusCode)
	}
	return parse(response.Body)
}

// parseMetrics reads metrics in the text format of Prometheus.
func (s *Scrape) parseMetrics(text io.Reader) (err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	s.families, err = parser.TextToMetricFamilies(text)
	return err
}

// parseList reads the list of rewritten keys.
func (s *Scrape) parseList(text io.Reader) error {
	var list struct {
		Collections []rewrittenCollection `json:"collections"`
	}
	err := json.NewDecoder(text).Decode(&list)
	s.rewritten = list.Collections
	return err
}

// metrics returns the series of a metric, none if s is nil.
func (s *Scrape) metrics(name string) []*dto.Metric {
	if s == nil {
		return nil
	}
	return s.families[name].GetMetric()
}

// gauge returns the sum of the series of a gauge or counter, or NaN without any.
func (s *Scrape) gauge(name string) float64 {
	sum, found := 0.0, false
	for _, m := range s.metrics(name) {
		sum, found = sum+valueOf(m), true
	}
	if !found {
		return math.NaN()
	}
	return sum
}

// valueOf returns the value of a counter, a gauge, or a series without a type.
func valueOf(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

// label returns the value of a label, or "".
func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
