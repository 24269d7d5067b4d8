package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

func TestEvaluate_I6Absence(t *testing.T) {
	runCases(t, []testCase{
		{"404 for a live value", func(r *recording) { r.set("dc1", 1, 2); r.get("dc1", 3, 4) }, "I6"},
		{"404 for a touch of a live value", func(r *recording) { r.set("dc1", 1, 2); r.touch("dc1", 3, 4, absent) }, "I6"},
		{"404 before the set is acknowledged", func(r *recording) { r.set("dc1", 1, 2); r.get("dc1", 1.9, 4) }, ""},
		{"404 in the other datacentre", func(r *recording) { r.set("dc1", 1, 2); r.get("dc2", 3, 4) }, ""},
		{"404 after a delete without an answer", func(r *recording) {
			r.set("dc1", 1, 2)
			r.delete("dc2", 2, 3, unanswered)
			r.get("dc1", 3, 4)
		}, ""},
		{"404 after a delete that was refused", func(r *recording) {
			r.set("dc1", 1, 2)
			r.delete("dc2", 2, 3, problem(503, "overloaded"))
			r.get("dc1", 3, 4)
		}, "I6"},
		{"404 one second before the expiry", func(r *recording) { r.set("dc1", 1, 2, ttl(10)); r.get("dc1", 10.1, 10.2) }, ""},
		{"404 two seconds before the expiry", func(r *recording) { r.set("dc1", 1, 2, ttl(10)); r.get("dc1", 9.1, 9.2) }, "I6"},
		{"404 after a later set without an answer may have expired", func(r *recording) {
			r.set("dc1", 1, 2)
			r.set("dc1", 3, 4, unanswered, ttl(5))
			r.get("dc1", 20, 21)
		}, ""},
		{"404 after a touch that extended the life", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 5, 5.1, ttl(100))
			r.get("dc1", 50, 51)
		}, "I6"},
		{"404 after a touch that overlapped with a shorter one", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 5, 5.1, ttl(100))
			r.touch("dc1", 5, 5.1, ttl(12))
			r.get("dc1", 50, 51)
		}, ""},
		{"404 after a shorter touch that ended during a longer one", func(r *recording) {
			r.set("dc1", 1, 2, ttl(10))
			r.touch("dc1", 5, 5.2, ttl(12))
			r.touch("dc1", 5.1, 5.5, ttl(100))
			r.get("dc1", 50, 51)
		}, ""},
		{"404 after a touch within the touch slack", func(r *recording) {
			r.set("dc1", 1, 2, ttl(1000))
			r.touch("dc1", 10, 10.1, ttl(1000))
			r.get("dc1", 1003, 1004)
		}, ""},
		{"404 after a shorter touch without an answer", func(r *recording) {
			r.set("dc1", 1, 2)
			r.touch("dc1", 5, 8, unanswered, ttl(5))
			r.get("dc1", 50, 51)
		}, ""},
		{"404 too early because of a node's clock", func(r *recording) {
			f := history.Fault{Name: "node's clock", Begin: sec(0), End: sec(60), Recovered: sec(60), CassandraSkew: 10 * time.Second}
			r.fault(f)
			r.set("dc1", 1, 2, ttl(30))
			r.get("dc1", 11, 12)
		}, ""},
	})
}
