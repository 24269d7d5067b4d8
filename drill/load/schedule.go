// Package load asks an installation what clients ask, on a schedule that follows from a seed alone, and writes down what
// it was answered.
//
// Invariants:
//
//  1. The schedule depends on the seed and the rate, never on an answer: which operation, on which key, through which
//     instance, at which time.
//  2. It is an open loop: what is slow delays nothing else. An operation's latency counts from when it was due.
//  3. Every value names its key and the operation that set it, and shows whether it is whole.
package load

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"userinfo/drill/history"
)

// Planned is an operation to come.
type Planned struct {
	Due    time.Duration
	DC     int // which datacentre
	Pick   int // which of its instances: modulo their number
	Method history.Method
	Key    string
	TTL    int // seconds
	Pinned bool
}

// LongestTTL is the most that the load asks for, in seconds.
const LongestTTL = 3600

// TTLs that sets and touches ask for, in seconds: sessions' are long, so that touches lengthen; those of short-lived
// keys end while the drill looks.
const (
	setTTL   = 1800
	touchTTL = LongestTTL
	shortTTL = 4
)

// Numbers of keys of each kind. Hot keys are where operations meet.
const (
	coldKeys   = 150
	hotKeys    = 6
	pinnedKeys = 8 // in each datacentre
)

// preloadEvery is the share of slots that first values take: sets cost more than gets, and a load that began with nothing
// but sets would begin with an overload.
const preloadEvery = 3

// remembered is how many deleted keys are asked for again, and rememberedFor for how long; within the fence, so that
// their sets are refused.
const (
	remembered    = 40
	rememberedFor = 45 * time.Second
)

// Schedule makes Planned operations in the order of their due times. One goroutine uses it.
type Schedule struct {
	random      *rand.Rand
	datacentres int
	slot        time.Duration // between operations
	now         time.Duration // the next free slot
	queue       queue
	prefix      string

	generation map[string]int // of a key's name: a deleted key is never used again
	preload    []string
	graves     []grave
	shorts     int
	turn       int
}

type grave struct {
	key string
	at  time.Duration
}

// NewSchedule plans rate operations a second for this many datacentres. prefix begins every key.
func NewSchedule(seed uint64, rate float64, datacentres int, prefix string) *Schedule {
	s := &Schedule{
		random:      rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
		datacentres: datacentres,
		slot:        time.Duration(float64(time.Second) / rate),
		prefix:      prefix,
		generation:  make(map[string]int),
	}
	for i := range coldKeys {
		s.preload = append(s.preload, fmt.Sprintf("cold%d", i))
	}
	for i := range hotKeys {
		s.preload = append(s.preload, fmt.Sprintf("hot%d", i))
	}
	for dc := range datacentres {
		for i := range pinnedKeys {
			s.preload = append(s.preload, pinned(dc, i))
		}
	}
	return s
}

func pinned(dc, i int) string { return fmt.Sprintf("pinned%d-%d", dc, i) }

// Next is the operation that is due next.
func (s *Schedule) Next() Planned {
	for len(s.queue) == 0 || s.queue[0].Due >= s.now {
		s.plan()
	}
	return heap.Pop(&s.queue).(Planned)
}

// plan fills at least one slot. What it plans beyond the slot takes up those that follow, so that the rate is kept.
func (s *Schedule) plan() {
	before := len(s.queue)
	s.turn++
	if n := len(s.preload); n > 0 && s.turn%preloadEvery == 0 {
		name := s.preload[n-1]
		s.preload = s.preload[:n-1]
		s.preset(name)
	} else {
		s.choose()
	}
	s.now += s.slot * time.Duration(len(s.queue)-before)
}

// preset gives a key its first value, in its own datacentre where it has one.
func (s *Schedule) preset(name string) {
	dc := s.anyDC()
	var mine, i int
	if n, _ := fmt.Sscanf(name, "pinned%d-%d", &mine, &i); n == 2 {
		dc = mine
	}
	s.add(0, dc, history.Set, s.key(name), setTTL)
}

// choose draws what comes next. The shares are of slots' beginnings, in thousandths.
func (s *Schedule) choose() {
	cold := s.key(fmt.Sprintf("cold%d", s.random.IntN(coldKeys)))
	dc := s.anyDC()
	switch n := s.random.IntN(1000); {
	case n < 620:
		s.add(0, dc, history.Get, cold, 0)
	case n < 700:
		s.add(0, dc, history.Set, cold, setTTL)
	case n < 730:
		s.add(0, dc, history.Touch, cold, touchTTL)
	case n < 745:
		s.logout(fmt.Sprintf("cold%d", s.random.IntN(coldKeys)), dc, (dc+1)%s.datacentres)
	case n < 755:
		s.logout(fmt.Sprintf("hot%d", s.random.IntN(hotKeys)), dc, (dc+1)%s.datacentres)
	case n < 775:
		s.rewrite(s.key(fmt.Sprintf("hot%d", s.random.IntN(hotKeys))), dc)
	case n < 795:
		s.touchRace(s.key(fmt.Sprintf("hot%d", s.random.IntN(hotKeys))), dc)
	case n < 805:
		s.shortLife(dc)
	case n < 870:
		s.visitGrave(dc)
	default:
		s.pinnedOperation(dc)
	}
}

func (s *Schedule) pinnedOperation(dc int) {
	name := pinned(dc, s.random.IntN(pinnedKeys))
	key := s.key(name)
	switch n := s.random.IntN(100); {
	case n < 50:
		s.add(0, dc, history.Get, key, 0)
	case n < 75:
		s.add(0, dc, history.Set, key, setTTL)
	case n < 85:
		s.add(0, dc, history.Touch, key, touchTTL)
	case n < 92:
		s.rewrite(key, dc)
	case n < 98:
		s.touchRace(key, dc)
	default:
		s.logout(name, dc, dc)
	}
}

// logout deletes a key amid sets that began before and come after, and looks in both datacentres at once and later.
func (s *Schedule) logout(name string, dc, other int) {
	key := s.key(name)
	s.generation[name]++
	ms := func(most int) time.Duration { return time.Duration(s.random.IntN(most*1000)) * time.Microsecond }
	s.add(0, dc, history.Set, key, setTTL)
	s.add(20*time.Millisecond, dc, history.Set, key, setTTL)
	s.add(20*time.Millisecond+ms(10), other, history.Set, key, setTTL)
	s.add(25*time.Millisecond, dc, history.Delete, key, 0)
	s.add(25*time.Millisecond+ms(40), dc, history.Set, key, setTTL)
	s.add(25*time.Millisecond+ms(200), other, history.Get, key, 0)
	s.add(25*time.Millisecond+ms(200), dc, history.Get, key, 0)
	s.add(300*time.Millisecond+ms(700), other, history.Get, key, 0)
	s.add(300*time.Millisecond+ms(3000), dc, history.Set, key, setTTL)
	s.add(4*time.Second+ms(1000), other, history.Get, key, 0)
	if s.random.IntN(2) == 0 { // MediaWiki does not ask again; others do
		s.add(5*time.Second+ms(5000), dc, history.Delete, key, 0)
	}
	s.graves = append(s.graves, grave{key, s.now})
	if len(s.graves) > remembered {
		s.graves = s.graves[1:]
	}
	// Whatever is asked of the name from now on is asked of a new key; it needs a value.
	s.add(50*time.Millisecond, dc, history.Set, s.key(name), setTTL)
}

// visitGrave asks for a key that was deleted some time ago, or tries to set or touch it.
func (s *Schedule) visitGrave(dc int) {
	if len(s.graves) == 0 {
		s.add(0, dc, history.Get, s.key("nobody"), 0)
		return
	}
	g := s.graves[s.random.IntN(len(s.graves))]
	method, ttl := history.Get, 0
	var own int
	if n, _ := fmt.Sscanf(g.key[len(s.prefix):], "pinned%d-", &own); n == 1 {
		dc = own
	}
	if s.now-g.at < rememberedFor {
		switch s.random.IntN(10) {
		case 0:
			method, ttl = history.Set, setTTL
		case 1:
			method, ttl = history.Touch, touchTTL
		}
	}
	s.add(0, dc, method, g.key, ttl)
}

// rewrite sets a key again and again, and reads between: what was read once and then overwritten must not come back.
func (s *Schedule) rewrite(key string, dc int) {
	for _, step := range []struct {
		after  time.Duration
		method history.Method
	}{
		{0, history.Set}, {30, history.Get}, {50, history.Set}, {80, history.Get}, {120, history.Set},
		{160, history.Get}, {400, history.Get}, {900, history.Get}, {2600, history.Get},
	} {
		ttl := 0
		if step.method == history.Set {
			ttl = setTTL
		}
		s.add(step.after*time.Millisecond, dc, step.method, key, ttl)
	}
}

// touchRace touches a key just when it is set: the set must win.
func (s *Schedule) touchRace(key string, dc int) {
	s.add(0, dc, history.Set, key, setTTL)
	lag := time.Duration(s.random.IntN(4000)) * time.Microsecond
	s.add(100*time.Millisecond, dc, history.Set, key, setTTL)
	s.add(100*time.Millisecond+lag, dc, history.Touch, key, touchTTL)
	s.add(250*time.Millisecond, dc, history.Get, key, 0)
	s.add(600*time.Millisecond, dc, history.Get, key, 0)
}

// shortLife sets a key that expires while it is looked at, with or without a touch.
func (s *Schedule) shortLife(dc int) {
	s.shorts++
	key := s.key(fmt.Sprintf("short%d", s.shorts))
	s.add(0, dc, history.Set, key, shortTTL)
	s.add(time.Second, dc, history.Get, key, 0)
	end := shortTTL * time.Second
	if s.random.IntN(2) == 0 {
		s.add(2*time.Second, dc, history.Touch, key, shortTTL+2)
		s.add(end+time.Second, dc, history.Get, key, 0)
		end += 4 * time.Second
	}
	s.add(end+1200*time.Millisecond, dc, history.Get, key, 0)
	s.add(end+2500*time.Millisecond, dc, history.Touch, key, touchTTL)
	s.add(end+3*time.Second, (dc+1)%s.datacentres, history.Get, key, 0)
}

func (s *Schedule) key(name string) string {
	return fmt.Sprintf("%s%s.%d", s.prefix, name, s.generation[name])
}

func (s *Schedule) anyDC() int { return s.random.IntN(s.datacentres) }

func (s *Schedule) add(after time.Duration, dc int, method history.Method, key string, ttl int) {
	heap.Push(&s.queue, Planned{
		Due: s.now + after, DC: dc, Pick: s.random.IntN(1 << 20), Method: method, Key: key, TTL: ttl,
		Pinned: len(key) > len(s.prefix)+6 && key[len(s.prefix):len(s.prefix)+6] == "pinned",
	})
}

// queue is a heap by due time.
type queue []Planned

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Due < q[j].Due }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(Planned)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
