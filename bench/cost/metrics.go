package cost

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxMetrics bounds an answer, in bytes.
const maxMetrics = 16 << 20

// FromMetrics reads allocations of a Go program from its Prometheus metrics: go_memstats_mallocs_total and
// go_memstats_alloc_bytes_total. request is sent anew each time.
func FromMetrics(client *http.Client, request *http.Request) func(context.Context) (Allocations, error) {
	return func(ctx context.Context) (Allocations, error) {
		answer, err := client.Do(request.Clone(ctx))
		if err != nil {
			return Allocations{}, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return Allocations{}, fmt.Errorf("%s was answered %s: does the configuration grant metrics:get?", request.URL, answer.Status)
		}
		return parseMetrics(io.LimitReader(answer.Body, maxMetrics))
	}
}

func parseMetrics(text io.Reader) (Allocations, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return Allocations{}, fmt.Errorf("reading metrics: %w", err)
	}
	counter := func(name string) (int64, error) {
		family := families[name]
		if len(family.GetMetric()) != 1 || family.GetMetric()[0].GetCounter() == nil {
			return 0, fmt.Errorf("the metrics have no counter %s, which every Go program's have", name)
		}
		return int64(family.GetMetric()[0].GetCounter().GetValue()), nil
	}
	mallocs, err := counter("go_memstats_mallocs_total")
	if err != nil {
		return Allocations{}, err
	}
	bytes, err := counter("go_memstats_alloc_bytes_total")
	return Allocations{mallocs, bytes}, err
}
