package judge_test

import (
	"testing"

	"userinfo/drill/history"
)

// addReplicas records which versions of key "k" the replicas in dc1 hold.
func (r *recording) addReplicas(versions ...int64) {
	for i, v := range versions {
		r.Cells = append(r.Cells, history.Cell{Node: string(rune('a' + i)), DC: "dc1", Key: "k", Version: v})
	}
}

func TestEvaluate_I3FinalReads(t *testing.T) {
	runCases(t, []testCase{
		{"an acknowledged set never reaches the other datacentre", func(r *recording) {
			r.set("dc1", 1, 2)
			r.get("dc2", 100, 101, final)
		}, "I3"},
		{"an acknowledged set never replaces an older one in the other datacentre", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc1", 3, 4)
			r.get("dc2", 100, 101, reads(s), final)
		}, "I3"},
		{"a recent acknowledged set may not have reached the other datacentre", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc1", 98, 99)
			r.get("dc2", 100, 101, reads(s), final)
			r.set("dc1", 98, 99, of("other"))
			r.get("dc2", 100, 101, of("other"), final)
		}, ""},
		{"without hints a set may never reach the other datacentre", func(r *recording) {
			r.fault(history.Fault{Name: "no hints", Begin: sec(0), End: sec(10), Recovered: sec(20), Unrepaired: true})
			s := r.set("dc1", 1, 2)
			r.set("dc1", 3, 4)
			r.get("dc2", 100, 101, reads(s), final)
			r.set("dc1", 3, 4, of("other"))
			r.get("dc2", 100, 101, of("other"), final)
		}, ""},
		{"an acknowledged set is lost in its own datacentre", func(r *recording) {
			r.set("dc1", 1, 2)
			r.get("dc1", 100, 101, final)
		}, "I3"},
		{"a set that was not acknowledged may be in one datacentre only", func(r *recording) {
			s := r.set("dc1", 1, 2, unavailable)
			r.get("dc1", 100, 101, reads(s), final)
			r.get("dc2", 100, 101, final)
		}, ""},
		{"the datacentres disagree on overlapping sets", func(r *recording) {
			a, b := r.set("dc1", 1, 2), r.set("dc2", 1, 2)
			r.get("dc1", 100, 101, reads(a), final)
			r.get("dc2", 100, 101, reads(b), final)
		}, "I3"},
		{"the datacentres disagree on recent overlapping sets", func(r *recording) {
			a, b := r.set("dc1", 98, 99), r.set("dc2", 98, 99)
			r.get("dc1", 100, 101, reads(a), final)
			r.get("dc2", 100, 101, reads(b), final)
		}, ""},
		{"the datacentres disagree on a set that was not acknowledged", func(r *recording) {
			a, b := r.set("dc1", 1, 2), r.set("dc2", 1, 2, unavailable)
			r.get("dc1", 100, 101, reads(a), final)
			r.get("dc2", 100, 101, reads(b), final)
		}, ""},
		{"the datacentres agree on one of two overlapping sets", func(r *recording) {
			a := r.set("dc1", 1, 2)
			r.set("dc2", 1, 2)
			r.get("dc1", 100, 101, reads(a), final)
			r.get("dc2", 100, 101, reads(a), final)
		}, ""},
		{"an expired value is gone at the end", func(r *recording) {
			r.set("dc1", 1, 2, ttl(99))
			r.get("dc2", 100, 101, final)
		}, ""},
		{"a replica holds a value that cannot be decrypted", func(r *recording) { r.addReplicas(history.Torn) }, "I3"},
		{"a replica holds another key's value", func(r *recording) { r.addReplicas(r.set("dc1", 1, 2, of("other"))) }, "I3"},
		{"a replica is behind", func(r *recording) {
			s := r.set("dc1", 1, 2)
			n := r.set("dc1", 3, 4)
			r.addReplicas(s, n, n)
		}, ""},
	})
}
