package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

// slow is a fault in which errors are no matter.
var slow = history.Fault{Name: "slow", Begin: sec(10), End: sec(40), Recovered: sec(50), Expect: history.Outage}

func TestExpiry(t *testing.T) {
	run(t, []planted{
		{"a set that ignores its TTL", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(10))
			p.get("dc1", 13.1, 13.2, reads(s))
		}, "I4"},
		{"a read within a second of the expiry", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(10))
			p.get("dc1", 12.9, 13.2, reads(s))
		}, ""},
		{"a value that was touched lives on", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(10))
			p.touch("dc2", 3, 4, ttl(100))
			p.get("dc1", 50, 51, reads(s))
		}, ""},
		{"a touch of the value before does not count", func(p *plot) {
			p.set("dc1", 1, 2)
			p.touch("dc1", 3, 4, ttl(100))
			s := p.set("dc1", 5, 6, ttl(10))
			p.get("dc1", 50, 51, reads(s))
		}, "I4"},
		{"a touch without an answer may come at any time", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 3, 4, ttl(10), silent)
			p.get("dc1", 50, 51, reads(s))
		}, ""},
		{"a set that failed may be under way until its fault is over", func(p *plot) {
			p.fault(slow)
			s := p.set("dc1", 12, 15, doubted, ttl(10))
			p.get("dc1", 59, 59.1, reads(s))
		}, ""},
		{"but not for longer", func(p *plot) {
			p.fault(slow)
			s := p.set("dc1", 12, 15, doubted, ttl(10))
			p.get("dc1", 61.1, 61.2, reads(s))
		}, "I4"},
		{"a node's wrong clock prolongs a life, twice", func(p *plot) {
			p.fault(history.Fault{Name: "node's clock", Begin: sec(0), End: sec(60), Recovered: sec(60), CassandraSkew: 10 * time.Second})
			s := p.set("dc1", 1, 2, ttl(10))
			p.get("dc1", 32.9, 33, reads(s))
		}, ""},
	})
}

func TestTouches(t *testing.T) {
	run(t, []planted{
		{"a get is told less than any touch has given", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 3, 4, ttl(100))
			p.get("dc1", 5, 6, reads(s), ttl(90))
		}, "I4"},
		{"a touch may leave a hundredth undone, and seconds are whole", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(99))
			p.touch("dc1", 3, 4, ttl(100))
			p.get("dc1", 5, 6, reads(s), ttl(95))
		}, ""},
		{"a later touch may shorten", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.touch("dc1", 3, 4, ttl(10))
			p.get("dc1", 5, 6, reads(s), ttl(8))
		}, ""},
		{"of two touches that overlap either may be told", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.touch("dc1", 3, 4, ttl(100))
			p.touch("dc1", 3.5, 4.5, ttl(10))
			p.get("dc1", 5, 6, reads(s), ttl(8))
		}, ""},
		{"a touch before that is undone", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.touch("dc1", 3, 3.5, ttl(10))
			p.touch("dc1", 4, 4.5, ttl(100))
			p.get("dc1", 5, 6, reads(s), ttl(7))
		}, "I4"},
		{"a touch in the other datacentre may undo it", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.touch("dc2", 3, 3.5, ttl(10))
			p.touch("dc1", 4, 4.5, ttl(100))
			p.get("dc1", 5, 6, reads(s), ttl(7))
		}, ""},
		{"a touch that begins after the get says nothing of it", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(100))
			p.get("dc1", 5, 6, reads(s), ttl(7))
			p.touch("dc1", 7, 8, ttl(5))
		}, "I4"},
		{"a touch of a deleted key succeeds", func(p *plot) {
			p.set("dc1", 1, 2)
			p.delete("dc1", 3, 4)
			p.touch("dc2", 5, 6)
		}, "I4"},
		{"a touch that overlaps with the delete succeeds", func(p *plot) {
			p.set("dc1", 1, 2)
			p.delete("dc1", 3, 4)
			p.touch("dc2", 3.9, 6)
		}, ""},
		{"a touch elsewhere after a delete that is not yet everywhere", func(p *plot) {
			p.fault(cut)
			p.set("dc1", 1, 2)
			p.delete("dc1", 11, 14, here)
			p.touch("dc2", 15, 16)
		}, ""},
		{"a touch of an expired key succeeds", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 13.1, 14)
		}, "I4"},
		{"a touch within a second of the expiry succeeds", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 12.9, 14)
		}, ""},
		{"a touch of an expired key that is being set again", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.set("dc1", 13.5, 15)
			p.touch("dc1", 13.1, 14)
		}, ""},
		{"a touch of what was never set", func(p *plot) { p.touch("dc1", 1, 2) }, "I4"},
		{"a touch of a set that has begun", func(p *plot) { p.touch("dc1", 1, 2); p.set("dc1", 1.5, 3) }, ""},
	})
}

func TestLinearizability(t *testing.T) {
	run(t, []planted{
		{"a get goes back to what an overlapping set had replaced", func(p *plot) {
			a, b := p.set("dc1", 1, 4, pinned), p.set("dc1", 1, 4, pinned)
			p.get("dc1", 2, 2.1, reads(a), pinned)
			p.get("dc1", 2.2, 2.3, reads(b), pinned)
			p.get("dc1", 2.4, 2.5, reads(a), pinned)
		}, "L"},
		{"the same on a key that is used in both datacentres", func(p *plot) {
			a, b := p.set("dc1", 1, 4), p.set("dc1", 1, 4)
			p.get("dc1", 2, 2.1, reads(a))
			p.get("dc1", 2.2, 2.3, reads(b))
			p.get("dc1", 2.4, 2.5, reads(a))
		}, ""},
		{"gets that overlap have no order", func(p *plot) {
			a, b := p.set("dc1", 1, 4, pinned), p.set("dc1", 1, 4, pinned)
			p.get("dc1", 2, 2.3, reads(a), pinned)
			p.get("dc1", 2.2, 2.5, reads(b), pinned)
			p.get("dc1", 2.1, 2.5, reads(a), pinned)
		}, ""},
		{"a value comes back after a delete without an answer was seen", func(p *plot) {
			s := p.set("dc1", 1, 2, pinned)
			p.delete("dc1", 3, 6, silent, pinned)
			p.get("dc1", 7, 8, pinned)
			p.get("dc1", 9, 10, reads(s), pinned)
		}, "L"},
		{"a delete without an answer comes late", func(p *plot) {
			s := p.set("dc1", 1, 2, pinned)
			p.delete("dc1", 3, 6, silent, pinned)
			p.get("dc1", 7, 8, reads(s), pinned)
			p.get("dc1", 9, 10, pinned)
		}, ""},
		{"a set without an answer comes late", func(p *plot) {
			a := p.set("dc1", 1, 2, pinned)
			b := p.set("dc1", 3, 6, doubted, pinned)
			p.get("dc1", 7, 8, reads(a), pinned)
			p.get("dc1", 9, 10, reads(b), pinned)
		}, ""},
		{"a delete that is not yet everywhere counts in its datacentre", func(p *plot) {
			p.fault(cut)
			p.set("dc1", 1, 2, pinned)
			p.delete("dc1", 12, 14, here, pinned)
			p.set("dc1", 15, 16, fenced, pinned)
			p.get("dc1", 17, 18, pinned)
		}, ""},
		{"without a fence each of two deletes without an answer may have come", func(p *plot) {
			p.Fence = 0
			p.set("dc1", 1, 2, pinned)
			p.delete("dc1", 3, 6, silent, pinned)
			p.get("dc1", 7, 8, pinned)
			s := p.set("dc1", 9, 10, pinned)
			p.get("dc1", 11, 12, reads(s), pinned)
			p.delete("dc1", 13, 16, silent, pinned)
			p.get("dc1", 17, 18, pinned)
		}, ""},
		{"a set once the fence is over is not the model's", func(p *plot) {
			p.delete("dc1", 2, 2.1, pinned)
			s := p.set("dc1", 62.5, 63, pinned)
			p.get("dc1", 64, 65, reads(s), pinned)
		}, ""},
		{"a value that expires is not the model's", func(p *plot) {
			s := p.set("dc1", 1, 2, ttl(5), pinned)
			p.get("dc1", 3, 4, reads(s), pinned)
			p.get("dc1", 9, 10, pinned)
		}, ""},
		{"clocks that differ are not the model's", func(p *plot) {
			p.fault(skewed)
			a, b := p.set("dc1", 1, 1.1, pinned), p.set("dc1", 2, 2.1, pinned)
			p.get("dc1", 3, 4, reads(a), pinned)
			p.get("dc1", 5, 6, reads(b), pinned)
			p.get("dc1", 7, 8, reads(a), pinned)
		}, ""},
		{"a piece does not end at a get while a set is under way", func(p *plot) {
			p.pairs(200) // a piece, and as many as make the next end at the first get
			a, b := p.set("dc1", 1000, 1003, pinned), p.set("dc1", 1000, 1003, pinned)
			p.get("dc1", 1001, 1001.1, reads(a), pinned)
			p.get("dc1", 1002, 1002.1, reads(b), pinned)
		}, ""},
		{"nor at one that overlaps with the set after it", func(p *plot) {
			last := p.pairs(201)
			s := p.set("dc1", 301, 301.1, pinned)
			p.get("dc1", 300, 302, reads(last), pinned)
			p.get("dc1", 303, 304, reads(s), pinned)
		}, ""},
		{"nor at one that found nothing, which may be for good", func(p *plot) {
			p.delete("dc1", 1, 1.1, pinned)
			for i := range 300 {
				p.get("dc1", 2+float64(i)/10, 2.05+float64(i)/10, pinned)
			}
			s := p.set("dc1", 40, 41, pinned)
			p.get("dc1", 70, 71, reads(s), pinned)
		}, "I1 L"},
		{"a long history is searched piece by piece", func(p *plot) {
			last := p.pairs(1000)
			p.set("dc1", 1000, 1003, pinned)
			p.get("dc1", 1001, 1001.1, reads(last+2), pinned)
			p.get("dc1", 1002, 1002.1, reads(last), pinned)
		}, "L"},
	})
}

// pairs has so many sets, one a second, each read by a get; it gives the last.
func (p *plot) pairs(n int) (last int64) {
	for i := range n {
		at := float64(i)
		last = p.set("dc1", at, at+0.5, pinned)
		p.get("dc1", at+0.6, at+0.7, reads(last), pinned)
	}
	return last
}
