package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/e2e/watching"
	"userinfo/store/seal"
)

var (
	descName   = regexp.MustCompile(`fqName: "([^"]+)"`)
	descLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
)

// exposedMetrics returns the labels of each metric that a service with passwords registers if it uses Cassandra, by name. A
// metric is in the result even if it has no value yet, for example because Cassandra was never reached.
func exposedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	d := new(testDatabase)
	d.set(errors.New("not reached"), nil)
	withPasswords := func(s *testService, config string) string {
		index, indexErr := seal.NewIndexKey(rand.Reader)
		key, err := seal.NewSealKey(rand.Reader)
		s.must("keys", errors.Join(indexErr, err))
		s.write("passwords-index.key", []byte(index.Text()))
		s.write("passwords-seal.key", []byte(key.Text()))
		return strings.Replace(config, "audiences:\n", fmt.Sprintf(`passwords:
  seal: {index_key: %[1]s/passwords-index.key, keys: [%[1]s/passwords-seal.key]}
audiences:
  passwords: [{token: true}]
`, s.dir), 1)
	}
	s := startEditedService(t, withPasswords, func(s *testService, ctx context.Context, l net.Listener) error {
		return s.serveDatabase(ctx, l, d.open)
	})
	s.awaitReadiness(503, notReached) // everything is registered then
	exposed := make(map[string][]string)
	descs := make(chan *prometheus.Desc)
	go func() {
		s.registry.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		name, labels := descName.FindStringSubmatch(desc.String()), descLabels.FindStringSubmatch(desc.String())
		if name == nil || labels == nil {
			t.Fatalf("the text of a description has changed: %s", desc)
		}
		exposed[name[1]] = strings.Split(labels[1], ",")
	}
	return exposed
}

// TestService_ExposesMetricsThatAreWatched checks that every metric in the rules and in the dashboard is one that the service exposes,
// with the labels that select it.
func TestService_ExposesMetricsThatAreWatched(t *testing.T) {
	exposed := exposedMetrics(t)
	expressions, err := watching.Expressions("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Prometheus adds the first three. The other two belong to histograms and summaries.
	added := []string{"job", "datacentre", "instance", "le", "quantile"}
	checked := make(map[string]bool)
	for _, e := range expressions {
		for _, s := range e.Selectors() {
			prefix, _, _ := strings.Cut(s.Metric, "_")
			if !slices.Contains([]string{"userinfo", "go", "process"}, prefix) {
				continue // recorded, or of other exporters
			}
			labels, ok := exposed[s.Metric]
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if base, cut := strings.CutSuffix(s.Metric, suffix); !ok && cut {
					labels, ok = exposed[base]
				}
			}
			if !ok {
				t.Errorf("%s uses %s, which the service does not expose", e.Where, s.Metric)
				continue
			}
			checked[s.Metric] = true
			for _, l := range s.Labels {
				if !slices.Contains(labels, l) && !slices.Contains(added, l) {
					t.Errorf("%s selects %s by the label %s; it has %q", e.Where, s.Metric, l, labels)
				}
			}
		}
	}
	if len(checked) < 50 {
		t.Errorf("only these metrics were found in the rules and the dashboard: %v", slices.Sorted(maps.Keys(checked)))
	}
}
