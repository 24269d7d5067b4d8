package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

// outage is a fault during which errors are allowed.
var outage = history.Fault{Name: "outage", Begin: sec(10), End: sec(40), Recovered: sec(50), Expect: history.Outage}

func TestEvaluate_I4Expiry(t *testing.T) {
	runCases(t, []testCase{
		{"a set that ignores its TTL", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(10))
			r.get("dc1", 13.1, 13.2, reads(s))
		}, "I4"},
		{"a read within a second of the expiry", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(10))
			r.get("dc1", 12.9, 13.2, reads(s))
		}, ""},
		{"a value that was touched lives longer", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(10))
			r.touch("dc2", 3, 4, ttl(100))
			r.get("dc1", 50, 51, reads(s))
		}, ""},
		{"a touch of an older value does not count", func(r *recording) {
			r.set("dc1", 1, 2)
			r.touch("dc1", 3, 4, ttl(100))
			s := r.set("dc1", 5, 6, ttl(10))
			r.get("dc1", 50, 51, reads(s))
		}, "I4"},
		{"a touch without an answer may arrive at any time", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 3, 4, ttl(10), unanswered)
			r.get("dc1", 50, 51, reads(s))
		}, ""},
		{"a set that failed may be executed until its fault is over", func(r *recording) {
			r.fault(outage)
			s := r.set("dc1", 12, 15, unavailable, ttl(10))
			r.get("dc1", 59, 59.1, reads(s))
		}, ""},
		{"a set that failed is not executed after its fault is over", func(r *recording) {
			r.fault(outage)
			s := r.set("dc1", 12, 15, unavailable, ttl(10))
			r.get("dc1", 61.1, 61.2, reads(s))
		}, "I4"},
		{"another attempt of an acknowledged set may be executed until its fault is over", func(r *recording) {
			r.fault(outage)
			s := r.set("dc1", 12, 12.1, ttl(10))
			r.get("dc1", 59, 59.1, reads(s))
		}, ""},
		{"no attempt of an acknowledged set is executed after its fault is over", func(r *recording) {
			r.fault(outage)
			s := r.set("dc1", 12, 12.1, ttl(10))
			r.get("dc1", 61.1, 61.2, reads(s))
		}, "I4"},
		{"a fault that an acknowledged set did not meet does not extend its life", func(r *recording) {
			r.fault(outage)
			s := r.set("dc1", 1, 2, ttl(10))
			r.get("dc1", 13.1, 13.2, reads(s))
		}, "I4"},
		{"wrong clocks of two nodes extend the life", func(r *recording) {
			r.fault(history.Fault{Name: "node's clock", Begin: sec(0), End: sec(60), Recovered: sec(60), CassandraSkew: 10 * time.Second})
			s := r.set("dc1", 1, 2, ttl(10))
			r.get("dc1", 32.9, 33, reads(s))
		}, ""},
	})
}

func TestEvaluate_I4Touches(t *testing.T) {
	runCases(t, []testCase{
		{"a get returns a TTL that is shorter than any touch gave", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 3, 4, ttl(100))
			r.get("dc1", 5, 6, reads(s), ttl(90))
		}, "I4"},
		{"the touch slack and the rounding to seconds are allowed", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(99))
			r.touch("dc1", 3, 4, ttl(100))
			r.get("dc1", 5, 6, reads(s), ttl(95))
		}, ""},
		{"a later touch may shorten", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.touch("dc1", 3, 4, ttl(10))
			r.get("dc1", 5, 6, reads(s), ttl(8))
		}, ""},
		{"two touches overlap: either may count", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.touch("dc1", 3, 4, ttl(100))
			r.touch("dc1", 3.5, 4.5, ttl(10))
			r.get("dc1", 5, 6, reads(s), ttl(8))
		}, ""},
		{"an earlier touch counts after a later one was acknowledged", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.touch("dc1", 3, 3.5, ttl(10))
			r.touch("dc1", 4, 4.5, ttl(100))
			r.get("dc1", 5, 6, reads(s), ttl(7))
		}, "I4"},
		{"a touch in the other datacentre may arrive later", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.touch("dc2", 3, 3.5, ttl(10))
			r.touch("dc1", 4, 4.5, ttl(100))
			r.get("dc1", 5, 6, reads(s), ttl(7))
		}, ""},
		{"a touch that starts after the get does not excuse it", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(100))
			r.get("dc1", 5, 6, reads(s), ttl(7))
			r.touch("dc1", 7, 8, ttl(5))
		}, "I4"},
		{"a touch of a deleted key succeeds", func(r *recording) {
			r.set("dc1", 1, 2)
			r.delete("dc1", 3, 4)
			r.touch("dc2", 5, 6)
		}, "I4"},
		{"a touch that overlaps with the delete succeeds", func(r *recording) {
			r.set("dc1", 1, 2)
			r.delete("dc1", 3, 4)
			r.touch("dc2", 3.9, 6)
		}, ""},
		{"a touch in the other datacentre succeeds while the delete is pending", func(r *recording) {
			r.fault(partition)
			r.set("dc1", 1, 2)
			r.delete("dc1", 11, 14, notEverywhere)
			r.touch("dc2", 15, 16)
		}, ""},
		{"a touch of an expired key succeeds", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 13.1, 14)
		}, "I4"},
		{"a touch within a second of the expiry succeeds", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 12.9, 14)
		}, ""},
		{"a touch of an expired key that is being set again", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.set("dc1", 13.5, 15)
			r.touch("dc1", 13.1, 14)
		}, ""},
		{"a touch of a key that was never set succeeds", func(r *recording) { r.touch("dc1", 1, 2) }, "I4"},
		{"a touch during a set succeeds", func(r *recording) { r.touch("dc1", 1, 2); r.set("dc1", 1.5, 3) }, ""},
	})
}
