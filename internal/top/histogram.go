package top

import (
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// histogram counts requests by duration. The zero histogram is empty.
type histogram struct {
	buckets map[float64]float64 // requests per second in each bucket, by the bucket's upper bound in seconds
}

// newHistogram returns the change between two states of a histogram, per second. before may be nil.
func newHistogram(now, before *dto.Histogram, seconds float64) *histogram {
	h := &histogram{buckets: make(map[float64]float64)}
	old := make(map[float64]float64)
	for _, b := range before.GetBucket() {
		old[b.GetUpperBound()] = float64(b.GetCumulativeCount())
	}
	if now.GetSampleCount() < before.GetSampleCount() { // it has begun again
		clear(old)
		before = nil
	}
	below := 0.0 // change of the buckets so far
	put := func(bound, cumulative float64) {
		change := cumulative - old[bound]
		h.buckets[bound] += max(change-below, 0) / seconds
		below = max(below, change)
	}
	for _, b := range now.GetBucket() {
		if bound := b.GetUpperBound(); !math.IsInf(bound, 1) && !math.IsNaN(bound) {
			put(bound, float64(b.GetCumulativeCount()))
		}
	}
	old[math.Inf(1)] = float64(before.GetSampleCount())
	put(math.Inf(1), float64(now.GetSampleCount()))
	return h
}

// add adds the requests of another histogram.
func (h *histogram) add(other *histogram) {
	if h.buckets == nil {
		h.buckets = make(map[float64]float64)
	}
	for bound, n := range other.buckets {
		h.buckets[bound] += n
	}
}

// total returns the number of requests per second.
func (h *histogram) total() (n float64) {
	for _, in := range h.buckets {
		n += in
	}
	return n
}

// quantile returns the duration in seconds that the share q of the requests did not exceed. Within a bucket it assumes that
// durations are spread evenly, as Prometheus does. Beyond the largest bound it returns this bound. It returns NaN if h is empty.
func (h *histogram) quantile(q float64) float64 {
	total := h.total()
	if total == 0 {
		return math.NaN()
	}
	left, lower := q*total, 0.0
	for _, bound := range slices.Sorted(maps.Keys(h.buckets)) {
		n := h.buckets[bound]
		if left <= n && n > 0 && !math.IsInf(bound, 1) {
			return lower + (bound-lower)*left/n
		}
		left -= n
		if !math.IsInf(bound, 1) {
			lower = bound
		}
	}
	return lower
}
