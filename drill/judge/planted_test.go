package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

// cut is a partition between the datacentres from 10 s to 40 s.
var cut = history.Fault{Name: "cut", Begin: sec(10), End: sec(40), Recovered: sec(50), Expect: history.OtherDatacentre}

// skewed are clocks that differ by up to 20 s from 0 to 100 s.
var skewed = history.Fault{Name: "clocks", End: sec(100), Recovered: sec(100), Expect: history.Strain, ClockSkew: 20 * time.Second}

func TestDeletes(t *testing.T) {
	run(t, []planted{
		{"a delete at LOCAL_QUORUM: the other datacentre still reads", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1)
			p.get("dc2", 2.2, 2.3, reads(s))
		}, "I1"},
		{"a get that began before the delete's answer may read", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1)
			p.get("dc2", 2.05, 2.3, reads(s))
		}, ""},
		{"204 after a failed delete", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1)
			p.get("dc1", 30, 30.1, reads(s))
			p.get("dc2", 300, 300.1, reads(s))
		}, "I1"},
		{"a delete that was refused, or failed, promises nothing", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1, doubted)
			p.delete("dc1", 3, 3.1, silent)
			p.delete("dc1", 4, 4.1, problem(503, "overloaded"))
			p.get("dc1", 30, 30.1, reads(s))
		}, ""},
		{"no fence marker: a set is acknowledged after a delete", func(p *plot) {
			p.delete("dc1", 2, 2.1)
			p.set("dc2", 3, 3.1)
		}, "I1"},
		{"a set that overlaps with the delete may be acknowledged, and is not read", func(p *plot) {
			p.set("dc1", 2, 2.2)
			p.delete("dc1", 2.1, 2.3)
			p.get("dc1", 2.4, 2.5)
		}, ""},
		{"a set after the delete is refused", func(p *plot) {
			p.delete("dc1", 2, 2.1)
			p.set("dc2", 3, 3.1, fenced)
			p.get("dc2", 4, 4.1)
		}, ""},
		{"a set once the fence is over may be acknowledged", func(p *plot) {
			p.delete("dc1", 2, 2.1)
			s := p.set("dc2", 61.5, 62.2)
			p.get("dc2", 63, 63.1, reads(s))
		}, ""},
		{"the fence of a delete that took long began well before its answer", func(p *plot) {
			p.delete("dc1", 2, 12)
			s := p.set("dc2", 65, 66)
			p.get("dc2", 67, 67.1, reads(s))
		}, ""},
		{"a straggler without an answer is read after the delete", func(p *plot) {
			s := p.set("dc1", 1, 4, silent)
			p.delete("dc1", 2, 2.1)
			p.get("dc1", 5, 5.1, reads(s))
		}, "I1"},
		{"a set without an answer that is first read when the fence is over may have arrived then", func(p *plot) {
			s := p.set("dc1", 1, 4, silent)
			p.delete("dc1", 2, 2.1)
			p.get("dc1", 70, 70.1, reads(s))
		}, ""},
		{"a tombstone at now under skewed clocks: a set before the delete survives it", func(p *plot) {
			p.fault(skewed)
			s := p.set("dc1", 1, 1.1, through("fast"))
			p.delete("dc1", 2, 2.1, through("slow"))
			p.get("dc1", 3, 3.1, reads(s))
		}, "I1"},
		{"the same where the clocks differ by more than the fence, against which nothing is promised", func(p *plot) {
			f := skewed
			f.ClockSkew = 70 * time.Second
			p.fault(f)
			s := p.set("dc1", 1, 1.1, through("fast"))
			p.delete("dc1", 2, 2.1, through("slow"))
			p.get("dc1", 3, 3.1, reads(s))
		}, ""},
		{"without a fence a set just before the delete may be newer by another clock", func(p *plot) {
			p.Fence = 0
			s := p.set("dc1", 1, 1.99, through("dc1-b"))
			p.delete("dc1", 2, 2.1)
			p.get("dc1", 3, 3.1, reads(s))
		}, ""},
		{"without a fence a set well before the delete is gone", func(p *plot) {
			p.Fence = 0
			s := p.set("dc1", 1, 1.1, through("dc1-b"))
			p.delete("dc1", 2, 2.1)
			p.get("dc1", 3, 3.1, reads(s))
		}, "I1"},
		{"without a fence a set that overlaps with the delete may win", func(p *plot) {
			p.Fence = 0
			s := p.set("dc1", 2.5, 2.6)
			p.delete("dc1", 2, 5)
			p.get("dc1", 6, 6.1, reads(s))
		}, ""},
		{"without a fence a set after the delete is a new value", func(p *plot) {
			p.Fence = 0
			p.delete("dc1", 2, 2.1)
			s := p.set("dc1", 3, 3.1)
			p.get("dc1", 4, 4.1, reads(s))
		}, ""},
		{"in the end two of three replicas hold what was deleted", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1)
			p.cells(s, s, 0)
		}, "I1"},
		{"in the end one of three replicas has missed a delete", func(p *plot) {
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 2, 2.1)
			p.cells(s, 0, 0)
		}, ""},
	})
}

// cells has three replicas in dc1 hold versions of "k".
func (p *plot) cells(versions ...int64) {
	for i, v := range versions {
		p.Cells = append(p.Cells, history.Cell{Node: string(rune('a' + i)), DC: "dc1", Key: "k", Version: v})
	}
}

func TestDeletesThatAreNotYetEverywhere(t *testing.T) {
	run(t, []planted{
		{"it is still read where it was deleted", func(p *plot) {
			p.fault(cut)
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.get("dc1", 14.1, 14.2, reads(s))
		}, "I2"},
		{"it may be read elsewhere while the datacentres are apart, and for a minute", func(p *plot) {
			p.fault(cut)
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.get("dc2", 14.1, 14.2, reads(s))
			p.get("dc2", 109, 109.1, reads(s))
			p.get("dc2", 112, 112.1)
		}, ""},
		{"dropped pending deletes: it is read elsewhere a minute after the recovery", func(p *plot) {
			p.fault(cut)
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.get("dc2", 111, 111.1, reads(s))
		}, "I2"},
		{"another fault within that minute gives it another", func(p *plot) {
			p.fault(cut)
			p.fault(history.Fault{Name: "again", Begin: sec(80), End: sec(100), Recovered: sec(101), Expect: history.OtherDatacentre})
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.get("dc2", 150, 150.1, reads(s))
		}, ""},
		{"a final read never returns it", func(p *plot) {
			p.fault(cut)
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.get("dc2", 60, 60.1, reads(s), final)
		}, "I2"},
		{"a set that began before it was answered is read after it", func(p *plot) {
			p.fault(cut)
			p.delete("dc1", 12, 14, here)
			s := p.set("dc1", 13, 15)
			p.get("dc1", 16, 16.1, reads(s))
		}, "I2"},
		{"a set in its datacentre is acknowledged after it", func(p *plot) {
			p.fault(cut)
			p.delete("dc1", 12, 14, here)
			p.set("dc1", 15, 15.1)
		}, "I2"},
		{"a set in the other datacentre may be acknowledged after it and is gone in the end", func(p *plot) {
			p.fault(cut)
			p.delete("dc1", 12, 14, here)
			s := p.set("dc2", 15, 15.1)
			p.get("dc2", 16, 16.1, reads(s))
			p.get("dc2", 200, 200.1, final)
		}, ""},
		{"a retry that is answered 204 is true at once", func(p *plot) {
			p.fault(cut)
			s := p.set("dc1", 1, 1.1)
			p.delete("dc1", 12, 14, here)
			p.delete("dc1", 45, 45.1)
			p.get("dc2", 45.2, 45.3, reads(s))
		}, "I1"},
	})
}

func TestValues(t *testing.T) {
	twoSets := func(gap float64, get ...detail) func(p *plot) {
		return func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc1", 2+gap, 3, through("dc1-b"))
			p.get("dc1", 3.1, 3.2, append([]detail{reads(s)}, get...)...)
		}
	}
	run(t, []planted{
		{"a value that is not whole", func(p *plot) { p.get("dc1", 1, 2, reads(history.Torn)) }, "I3"},
		{"another key's value", func(p *plot) {
			s := p.set("dc1", 1, 2, of("other"))
			p.get("dc1", 3, 4, reads(s), ofKey("other"))
		}, "I3"},
		{"a value that says it is another key's", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.get("dc1", 3, 4, reads(s), ofKey("other"))
		}, "I3"},
		{"a version of another key under this one's name", func(p *plot) {
			s := p.set("dc1", 1, 2, of("other"))
			p.get("dc1", 3, 4, reads(s))
		}, "I3"},
		{"a version that nobody wrote", func(p *plot) { p.get("dc1", 3, 4, reads(99)) }, "I3"},
		{"the value of a set that was refused", func(p *plot) {
			s := p.set("dc1", 1, 2, problem(503, "overloaded"))
			p.get("dc1", 3, 4, reads(s))
		}, "I3"},
		{"the value of a set that failed but was applied", func(p *plot) {
			s := p.set("dc1", 1, 2, doubted)
			p.get("dc1", 3, 4, reads(s))
		}, ""},
		{"the value of a set that had not begun", func(p *plot) {
			p.get("dc1", 1, 2, reads(2))
			p.set("dc1", 3, 4)
		}, "I3"},
		{"the value of a set that began meanwhile", func(p *plot) {
			p.get("dc1", 1, 2, reads(2))
			p.set("dc1", 1.9, 4)
		}, ""},
		{"a stale read, as after a touch written at now or from a cache of one second", twoSets(0.1), "I3"},
		{"of two sets closer than the clocks may differ either may be read", twoSets(0.01), ""},
		{"a stale read of the other datacentre's set may be an asynchronous one", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc2", 3, 4)
			p.get("dc1", 5, 6, reads(s))
		}, ""},
		{"a stale read that began before the newer set was acknowledged", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc1", 3, 4)
			p.get("dc1", 3.9, 4.1, reads(s))
		}, ""},
		{"a stale read after a set that is not known to have been done", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc1", 3, 4, doubted)
			p.get("dc1", 5, 6, reads(s))
		}, ""},
		{"a fresh timestamp per attempt: a set that was read, overwritten, and is back", func(p *plot) {
			s := p.set("dc1", 1, 4)
			p.get("dc1", 1.5, 1.6, reads(s))
			n := p.set("dc1", 2, 2.5)
			p.get("dc1", 2.6, 2.7, reads(n))
			p.get("dc1", 4.1, 4.2, reads(s))
		}, "I3"},
		{"of two sets that overlap and were not read the first to end may win", func(p *plot) {
			s := p.set("dc1", 1, 4)
			n := p.set("dc1", 2, 2.5)
			p.get("dc1", 2.6, 2.7, reads(n))
			p.get("dc1", 4.1, 4.2, reads(s))
		}, ""},
		{"under skewed clocks the older set may win", func(p *plot) { p.fault(skewed); twoSets(0.5)(p) }, ""},
		{"under skewed clocks a set that is older by more than the skew does not win", func(p *plot) {
			p.fault(skewed)
			s := p.set("dc1", 1, 2)
			p.set("dc1", 23, 24, through("dc1-b"))
			p.get("dc1", 25, 26, reads(s))
		}, "I3"},
	})
}

func TestTheEnd(t *testing.T) {
	run(t, []planted{
		{"an acknowledged set never reaches the other datacentre", func(p *plot) {
			p.set("dc1", 1, 2)
			p.get("dc2", 100, 101, final)
		}, "I3"},
		{"an acknowledged set never replaces an older one in the other datacentre", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc1", 3, 4)
			p.get("dc2", 100, 101, reads(s), final)
		}, "I3"},
		{"an acknowledged set of a moment ago need not have reached the other datacentre", func(p *plot) {
			s := p.set("dc1", 1, 2)
			p.set("dc1", 98, 99)
			p.get("dc2", 100, 101, reads(s), final)
			p.set("dc1", 98, 99, of("other"))
			p.get("dc2", 100, 101, of("other"), final)
		}, ""},
		{"where hints are lost it need not", func(p *plot) {
			p.fault(history.Fault{Name: "no hints", Begin: sec(0), End: sec(10), Recovered: sec(20), Unrepaired: true})
			s := p.set("dc1", 1, 2)
			p.set("dc1", 3, 4)
			p.get("dc2", 100, 101, reads(s), final)
			p.set("dc1", 3, 4, of("other"))
			p.get("dc2", 100, 101, of("other"), final)
		}, ""},
		{"an acknowledged set is lost in its own datacentre", func(p *plot) {
			p.set("dc1", 1, 2)
			p.get("dc1", 100, 101, final)
		}, "I3"},
		{"a set that is not known to have been done may be anywhere or nowhere", func(p *plot) {
			s := p.set("dc1", 1, 2, doubted)
			p.get("dc1", 100, 101, reads(s), final)
			p.get("dc2", 100, 101, final)
		}, ""},
		{"the datacentres disagree on overlapping sets", func(p *plot) {
			a, b := p.set("dc1", 1, 2), p.set("dc2", 1, 2)
			p.get("dc1", 100, 101, reads(a), final)
			p.get("dc2", 100, 101, reads(b), final)
		}, "I3"},
		{"the datacentres disagree on overlapping sets of a moment ago", func(p *plot) {
			a, b := p.set("dc1", 98, 99), p.set("dc2", 98, 99)
			p.get("dc1", 100, 101, reads(a), final)
			p.get("dc2", 100, 101, reads(b), final)
		}, ""},
		{"the datacentres disagree on a set that is not known to have been done", func(p *plot) {
			a, b := p.set("dc1", 1, 2), p.set("dc2", 1, 2, doubted)
			p.get("dc1", 100, 101, reads(a), final)
			p.get("dc2", 100, 101, reads(b), final)
		}, ""},
		{"the datacentres agree on one of overlapping sets", func(p *plot) {
			a := p.set("dc1", 1, 2)
			p.set("dc2", 1, 2)
			p.get("dc1", 100, 101, reads(a), final)
			p.get("dc2", 100, 101, reads(a), final)
		}, ""},
		{"what has expired is gone in the end", func(p *plot) {
			p.set("dc1", 1, 2, ttl(99))
			p.get("dc2", 100, 101, final)
		}, ""},
		{"a replica holds what cannot be opened", func(p *plot) { p.cells(history.Torn) }, "I3"},
		{"a replica holds another key's value", func(p *plot) { p.cells(p.set("dc1", 1, 2, of("other"))) }, "I3"},
		{"a replica is behind", func(p *plot) {
			s := p.set("dc1", 1, 2)
			n := p.set("dc1", 3, 4)
			p.cells(s, n, n)
		}, ""},
	})
}

func TestAbsence(t *testing.T) {
	run(t, []planted{
		{"404 for what is there", func(p *plot) { p.set("dc1", 1, 2); p.get("dc1", 3, 4) }, "I6"},
		{"404 for a touch of what is there", func(p *plot) { p.set("dc1", 1, 2); p.touch("dc1", 3, 4, absent) }, "I6"},
		{"404 before the set is acknowledged", func(p *plot) { p.set("dc1", 1, 2); p.get("dc1", 1.9, 4) }, ""},
		{"404 in the other datacentre", func(p *plot) { p.set("dc1", 1, 2); p.get("dc2", 3, 4) }, ""},
		{"404 where a delete without an answer may have come", func(p *plot) {
			p.set("dc1", 1, 2)
			p.delete("dc2", 2, 3, silent)
			p.get("dc1", 3, 4)
		}, ""},
		{"404 where a delete was refused", func(p *plot) {
			p.set("dc1", 1, 2)
			p.delete("dc2", 2, 3, problem(503, "overloaded"))
			p.get("dc1", 3, 4)
		}, "I6"},
		{"404 a second before the expiry is rounding", func(p *plot) { p.set("dc1", 1, 2, ttl(10)); p.get("dc1", 10.1, 10.2) }, ""},
		{"404 well before the expiry is not", func(p *plot) { p.set("dc1", 1, 2, ttl(10)); p.get("dc1", 9.1, 9.2) }, "I6"},
		{"404 where a later set without an answer may have expired", func(p *plot) {
			p.set("dc1", 1, 2)
			p.set("dc1", 3, 4, silent, ttl(5))
			p.get("dc1", 20, 21)
		}, ""},
		{"404 after a touch that lengthened", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 5, 5.1, ttl(100))
			p.get("dc1", 50, 51)
		}, "I6"},
		{"404 after a touch that overlapped with a shorter one", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 5, 5.1, ttl(100))
			p.touch("dc1", 5, 5.1, ttl(12))
			p.get("dc1", 50, 51)
		}, ""},
		{"404 after a shorter touch that ended within it", func(p *plot) {
			p.set("dc1", 1, 2, ttl(10))
			p.touch("dc1", 5, 5.2, ttl(12))
			p.touch("dc1", 5.1, 5.5, ttl(100))
			p.get("dc1", 50, 51)
		}, ""},
		{"404 after a touch that had left a hundredth undone", func(p *plot) {
			p.set("dc1", 1, 2, ttl(1000))
			p.touch("dc1", 10, 10.1, ttl(1000))
			p.get("dc1", 1003, 1004)
		}, ""},
		{"404 where a shorter touch without an answer may have come", func(p *plot) {
			p.set("dc1", 1, 2)
			p.touch("dc1", 5, 8, silent, ttl(5))
			p.get("dc1", 50, 51)
		}, ""},
		{"404 early by a node's clock", func(p *plot) {
			f := history.Fault{Name: "node's clock", Begin: sec(0), End: sec(60), Recovered: sec(60), CassandraSkew: 10 * time.Second}
			p.fault(f)
			p.set("dc1", 1, 2, ttl(30))
			p.get("dc1", 11, 12)
		}, ""},
	})
}
