package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

// partition separates the datacentres from 10 s to 40 s.
var partition = history.Fault{Name: "partition", Begin: sec(10), End: sec(40), Recovered: sec(50), Expect: history.OtherDatacentre}

// skewedClocks are clocks that differ by up to 20 s, from 0 to 100 s.
var skewedClocks = history.Fault{Name: "clocks", End: sec(100), Recovered: sec(100), Expect: history.Strain, ClockSkew: 20 * time.Second}

func TestEvaluate_I1DeletedValues(t *testing.T) {
	runCases(t, []testCase{
		{"after a delete the other datacentre still returns the value", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.get("dc2", 2.2, 2.3, reads(s))
		}, "I1"},
		{"a get that started before the answer of the delete may return the value", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.get("dc2", 2.05, 2.3, reads(s))
		}, ""},
		{"a delete that failed was answered 204", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.get("dc1", 30, 30.1, reads(s))
			r.get("dc2", 300, 300.1, reads(s))
		}, "I1"},
		{"a delete that was refused or failed is no promise", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1, unavailable)
			r.delete("dc1", 3, 3.1, unanswered)
			r.delete("dc1", 4, 4.1, problem(503, "overloaded"))
			r.get("dc1", 30, 30.1, reads(s))
		}, ""},
		{"a set after the delete is acknowledged", func(r *recording) {
			r.delete("dc1", 2, 2.1)
			r.set("dc2", 3, 3.1)
		}, "I1"},
		{"a set that overlaps with the delete may be acknowledged, but is not returned", func(r *recording) {
			r.set("dc1", 2, 2.2)
			r.delete("dc1", 2.1, 2.3)
			r.get("dc1", 2.4, 2.5)
		}, ""},
		{"a set after the delete is refused", func(r *recording) {
			r.delete("dc1", 2, 2.1)
			r.set("dc2", 3, 3.1, fenced)
			r.get("dc2", 4, 4.1)
		}, ""},
		{"a set after the fence may be acknowledged", func(r *recording) {
			r.delete("dc1", 2, 2.1)
			s := r.set("dc2", 61.5, 62.2)
			r.get("dc2", 63, 63.1, reads(s))
		}, ""},
		{"the fence of a slow delete starts long before its answer", func(r *recording) {
			r.delete("dc1", 2, 12)
			s := r.set("dc2", 65, 66)
			r.get("dc2", 67, 67.1, reads(s))
		}, ""},
		{"a set without an answer is returned after the delete", func(r *recording) {
			s := r.set("dc1", 1, 4, unanswered)
			r.delete("dc1", 2, 2.1)
			r.get("dc1", 5, 5.1, reads(s))
		}, "I1"},
		{"a set without an answer that is first returned after the fence may have arrived late", func(r *recording) {
			s := r.set("dc1", 1, 4, unanswered)
			r.delete("dc1", 2, 2.1)
			r.get("dc1", 70, 70.1, reads(s))
		}, ""},
		{"with skewed clocks a set from before the delete survives", func(r *recording) {
			r.fault(skewedClocks)
			s := r.set("dc1", 1, 1.1, through("fast"))
			r.delete("dc1", 2, 2.1, through("slow"))
			r.get("dc1", 3, 3.1, reads(s))
		}, "I1"},
		{"clocks that differ by more than the fence allow this", func(r *recording) {
			f := skewedClocks
			f.ClockSkew = 70 * time.Second
			r.fault(f)
			s := r.set("dc1", 1, 1.1, through("fast"))
			r.delete("dc1", 2, 2.1, through("slow"))
			r.get("dc1", 3, 3.1, reads(s))
		}, ""},
		{"without a fence a set just before the delete may be newer by another clock", func(r *recording) {
			r.Fence = 0
			s := r.set("dc1", 1, 1.99, through("dc1-b"))
			r.delete("dc1", 2, 2.1)
			r.get("dc1", 3, 3.1, reads(s))
		}, ""},
		{"without a fence a set long before the delete is returned", func(r *recording) {
			r.Fence = 0
			s := r.set("dc1", 1, 1.1, through("dc1-b"))
			r.delete("dc1", 2, 2.1)
			r.get("dc1", 3, 3.1, reads(s))
		}, "I1"},
		{"without a fence a set that overlaps with the delete may win", func(r *recording) {
			r.Fence = 0
			s := r.set("dc1", 2.5, 2.6)
			r.delete("dc1", 2, 5)
			r.get("dc1", 6, 6.1, reads(s))
		}, ""},
		{"without a fence a set after the delete is a new value", func(r *recording) {
			r.Fence = 0
			r.delete("dc1", 2, 2.1)
			s := r.set("dc1", 3, 3.1)
			r.get("dc1", 4, 4.1, reads(s))
		}, ""},
		{"at the end two of three replicas hold the deleted value", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.addReplicas(s, s, 0)
		}, "I1"},
		{"at the end one of three replicas holds the deleted value", func(r *recording) {
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 2, 2.1)
			r.addReplicas(s, 0, 0)
		}, ""},
	})
}

func TestEvaluate_I2PendingDeletes(t *testing.T) {
	runCases(t, []testCase{
		{"the value is returned in the datacentre of the delete", func(r *recording) {
			r.fault(partition)
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.get("dc1", 14.1, 14.2, reads(s))
		}, "I2"},
		{"the value may be returned elsewhere during the partition and for a minute after it", func(r *recording) {
			r.fault(partition)
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.get("dc2", 14.1, 14.2, reads(s))
			r.get("dc2", 109, 109.1, reads(s))
			r.get("dc2", 112, 112.1)
		}, ""},
		{"the value is returned elsewhere a minute after the recovery", func(r *recording) {
			r.fault(partition)
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.get("dc2", 111, 111.1, reads(s))
		}, "I2"},
		{"another fault within that minute extends the time", func(r *recording) {
			r.fault(partition)
			r.fault(history.Fault{Name: "again", Begin: sec(80), End: sec(100), Recovered: sec(101), Expect: history.OtherDatacentre})
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.get("dc2", 150, 150.1, reads(s))
		}, ""},
		{"a final read returns the value", func(r *recording) {
			r.fault(partition)
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.get("dc2", 60, 60.1, reads(s), final)
		}, "I2"},
		{"a set that started before the answer of the delete is returned after it", func(r *recording) {
			r.fault(partition)
			r.delete("dc1", 12, 14, notEverywhere)
			s := r.set("dc1", 13, 15)
			r.get("dc1", 16, 16.1, reads(s))
		}, "I2"},
		{"a set in the datacentre of the delete is acknowledged after it", func(r *recording) {
			r.fault(partition)
			r.delete("dc1", 12, 14, notEverywhere)
			r.set("dc1", 15, 15.1)
		}, "I2"},
		{"a set in the other datacentre may be acknowledged and is gone at the end", func(r *recording) {
			r.fault(partition)
			r.delete("dc1", 12, 14, notEverywhere)
			s := r.set("dc2", 15, 15.1)
			r.get("dc2", 16, 16.1, reads(s))
			r.get("dc2", 200, 200.1, final)
		}, ""},
		{"a second delete that is answered 204 is in force at once", func(r *recording) {
			r.fault(partition)
			s := r.set("dc1", 1, 1.1)
			r.delete("dc1", 12, 14, notEverywhere)
			r.delete("dc1", 45, 45.1)
			r.get("dc2", 45.2, 45.3, reads(s))
		}, "I1"},
	})
}
