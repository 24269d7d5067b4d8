// Package load sends the operations of clients to an installation and records the answers. The operations follow a schedule
// that depends on a seed only.
//
// Invariants of the load of sessions; People is another load:
//
//  1. The schedule never depends on an answer. The seed and the rate decide which operation is sent when, for which key
//     and to which instance.
//  2. The load is an open loop: a slow answer delays no other operation. Latency counts from the due time of an operation.
//  3. Every value contains its key and its version, and a checksum that detects damage.
//
// The package does not limit the load if the service is slower than the schedule.
package load

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"userinfo/drill/history"
)

// Planned is an operation of the schedule.
type Planned struct {
	Due    time.Duration // since the start of the schedule
	DC     int           // index of the datacentre
	Pick   int           // selects an instance of the datacentre, modulo their number
	Method history.Method
	Key    string
	TTL    int // seconds; 0 for get and delete
	Pinned bool
}

// LongestTTL is the longest time to live that the load requests, in seconds.
const LongestTTL = 3600

// Times to live in seconds. A touch extends the life of a session. Short-lived keys expire during the drill.
const (
	setTTL   = 1800
	touchTTL = LongestTTL
	shortTTL = 4
)

// Numbers of keys of each kind. Concurrent operations meet on hot keys. Pinned keys are used in one datacentre only.
const (
	coldKeys   = 150
	hotKeys    = 6
	pinnedKeys = 8 // in each datacentre
)

const (
	// initialSetEvery is the share of slots, 1 in n, that the first set of each key takes. A load that starts with sets
	// only would overload the service.
	initialSetEvery = 3
	// deletedKept is how many deleted keys the schedule uses again. It sets and touches them for deletedUse only, which is
	// shorter than the fence, so every such set must be refused.
	deletedKept = 40
	deletedUse  = 45 * time.Second
)

// Schedule plans operations in the order of their due times. It must be used by one goroutine only.
type Schedule struct {
	random      *rand.Rand
	datacentres int
	interval    time.Duration // between operations
	now         time.Duration // next free slot
	queue       []Planned     // ordered by due time
	prefix      string

	generation map[string]int // by key name; a deleted key gets a new generation and is never reused
	unset      []string       // names of keys without a value yet
	deleted    []deletedKey
	shortLived int // number of short-lived keys so far
	turn       int
}

type deletedKey struct {
	key string
	at  time.Duration
}

// NewSchedule returns a schedule of rate operations per second for a number of datacentres. Every key starts with prefix.
func NewSchedule(seed uint64, rate float64, datacentres int, prefix string) *Schedule {
	s := &Schedule{
		random:      rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
		datacentres: datacentres,
		interval:    time.Duration(float64(time.Second) / rate),
		prefix:      prefix,
		generation:  make(map[string]int),
	}
	for i := range coldKeys {
		s.unset = append(s.unset, fmt.Sprintf("cold%d", i))
	}
	for i := range hotKeys {
		s.unset = append(s.unset, fmt.Sprintf("hot%d", i))
	}
	for dc := range datacentres {
		for i := range pinnedKeys {
			s.unset = append(s.unset, pinnedName(dc, i))
		}
	}
	return s
}

func pinnedName(dc, i int) string { return fmt.Sprintf("pinned%d-%d", dc, i) }

// Next returns the operation that is due next.
func (s *Schedule) Next() Planned {
	for len(s.queue) == 0 || s.queue[0].Due >= s.now {
		s.fillSlot()
	}
	next := s.queue[0]
	s.queue = s.queue[1:]
	return next
}

// fillSlot plans the operations of the next slot. Several operations take several slots, which keeps the rate.
func (s *Schedule) fillSlot() {
	planned := len(s.queue)
	s.turn++
	if n := len(s.unset); n > 0 && s.turn%initialSetEvery == 0 {
		name := s.unset[n-1]
		s.unset = s.unset[:n-1]
		s.add(0, datacentreOf(name, s.random.IntN(s.datacentres)), history.Set, s.key(name), setTTL)
	} else {
		s.addRandom()
	}
	s.now += s.interval * time.Duration(len(s.queue)-planned)
}

// datacentreOf returns the datacentre of a pinned key, or other for another key.
func datacentreOf(name string, other int) int {
	var own int
	if n, _ := fmt.Sscanf(name, "pinned%d-", &own); n == 1 {
		return own
	}
	return other
}

// addRandom plans a random operation or sequence of operations. The numbers are shares in thousandths.
func (s *Schedule) addRandom() {
	cold := fmt.Sprintf("cold%d", s.random.IntN(coldKeys))
	hot := fmt.Sprintf("hot%d", s.random.IntN(hotKeys))
	dc := s.random.IntN(s.datacentres)
	other := (dc + 1) % s.datacentres
	switch n := s.random.IntN(1000); {
	case n < 620:
		s.add(0, dc, history.Get, s.key(cold), 0)
	case n < 700:
		s.add(0, dc, history.Set, s.key(cold), setTTL)
	case n < 730:
		s.add(0, dc, history.Touch, s.key(cold), touchTTL)
	case n < 745:
		s.addLogout(cold, dc, other)
	case n < 755:
		s.addLogout(hot, dc, other)
	case n < 775:
		s.addRewrites(s.key(hot), dc)
	case n < 795:
		s.addTouchDuringSet(s.key(hot), dc)
	case n < 805:
		s.addShortLivedKey(dc, other)
	case n < 870:
		s.addUseOfDeletedKey(dc)
	default:
		s.addPinned(dc)
	}
}

func (s *Schedule) addPinned(dc int) {
	name := pinnedName(dc, s.random.IntN(pinnedKeys))
	key := s.key(name)
	switch n := s.random.IntN(100); {
	case n < 50:
		s.add(0, dc, history.Get, key, 0)
	case n < 75:
		s.add(0, dc, history.Set, key, setTTL)
	case n < 85:
		s.add(0, dc, history.Touch, key, touchTTL)
	case n < 92:
		s.addRewrites(key, dc)
	case n < 98:
		s.addTouchDuringSet(key, dc)
	default:
		s.addLogout(name, dc, dc)
	}
}

// addLogout plans a delete among sets that start before and after it, and gets in both datacentres.
func (s *Schedule) addLogout(name string, dc, other int) {
	key := s.key(name)
	s.generation[name]++
	upTo := func(ms int) time.Duration { return time.Duration(s.random.IntN(ms*1000)) * time.Microsecond }
	const deleteAt = 25 * time.Millisecond
	s.add(0, dc, history.Set, key, setTTL)
	s.add(20*time.Millisecond, dc, history.Set, key, setTTL)
	s.add(20*time.Millisecond+upTo(10), other, history.Set, key, setTTL)
	s.add(deleteAt, dc, history.Delete, key, 0)
	s.add(deleteAt+upTo(40), dc, history.Set, key, setTTL)
	s.add(deleteAt+upTo(200), other, history.Get, key, 0)
	s.add(deleteAt+upTo(200), dc, history.Get, key, 0)
	s.add(300*time.Millisecond+upTo(700), other, history.Get, key, 0)
	s.add(300*time.Millisecond+upTo(3000), dc, history.Set, key, setTTL)
	s.add(4*time.Second+upTo(1000), other, history.Get, key, 0)
	if s.random.IntN(2) == 0 { // some clients repeat a delete; MediaWiki does not
		s.add(5*time.Second+upTo(5000), dc, history.Delete, key, 0)
	}
	s.deleted = append(s.deleted, deletedKey{key, s.now})
	s.deleted = s.deleted[max(0, len(s.deleted)-deletedKept):]
	s.add(50*time.Millisecond, dc, history.Set, s.key(name), setTTL) // the first value of the new generation
}

// addUseOfDeletedKey plans a get, set or touch of a key that was deleted some time ago.
func (s *Schedule) addUseOfDeletedKey(dc int) {
	if len(s.deleted) == 0 {
		s.add(0, dc, history.Get, s.key("never-set"), 0)
		return
	}
	d := s.deleted[s.random.IntN(len(s.deleted))]
	method, ttl := history.Get, 0
	dc = datacentreOf(strings.TrimPrefix(d.key, s.prefix), dc)
	if s.now-d.at < deletedUse {
		switch s.random.IntN(10) {
		case 0:
			method, ttl = history.Set, setTTL
		case 1:
			method, ttl = history.Touch, touchTTL
		}
	}
	s.add(0, dc, method, d.key, ttl)
}

// addRewrites plans several sets of a key and gets between and after them. A version that was overwritten must not return.
func (s *Schedule) addRewrites(key string, dc int) {
	for _, ms := range []time.Duration{0, 50, 120} {
		s.add(ms*time.Millisecond, dc, history.Set, key, setTTL)
	}
	for _, ms := range []time.Duration{30, 80, 160, 400, 900, 2600} {
		s.add(ms*time.Millisecond, dc, history.Get, key, 0)
	}
}

// addTouchDuringSet plans a touch that overlaps with a set. The set must win.
func (s *Schedule) addTouchDuringSet(key string, dc int) {
	lag := time.Duration(s.random.IntN(4000)) * time.Microsecond
	s.add(0, dc, history.Set, key, setTTL)
	s.add(100*time.Millisecond, dc, history.Set, key, setTTL)
	s.add(100*time.Millisecond+lag, dc, history.Touch, key, touchTTL)
	s.add(250*time.Millisecond, dc, history.Get, key, 0)
	s.add(600*time.Millisecond, dc, history.Get, key, 0)
}

// addShortLivedKey plans a set with a short TTL, sometimes a touch, and gets and a touch around the expiry.
func (s *Schedule) addShortLivedKey(dc, other int) {
	s.shortLived++
	key := s.key(fmt.Sprintf("short%d", s.shortLived))
	s.add(0, dc, history.Set, key, shortTTL)
	s.add(time.Second, dc, history.Get, key, 0)
	expiry := shortTTL * time.Second
	if s.random.IntN(2) == 0 {
		s.add(2*time.Second, dc, history.Touch, key, shortTTL+2)
		s.add(expiry+time.Second, dc, history.Get, key, 0)
		expiry += 4 * time.Second
	}
	s.add(expiry+1200*time.Millisecond, dc, history.Get, key, 0)
	s.add(expiry+2500*time.Millisecond, dc, history.Touch, key, touchTTL)
	s.add(expiry+3*time.Second, other, history.Get, key, 0)
}

func (s *Schedule) key(name string) string {
	return fmt.Sprintf("%s%s.%d", s.prefix, name, s.generation[name])
}

// add plans one operation, due some time after the current slot.
func (s *Schedule) add(after time.Duration, dc int, method history.Method, key string, ttl int) {
	due := s.now + after
	i, _ := slices.BinarySearchFunc(s.queue, due+1, func(p Planned, t time.Duration) int { return cmp.Compare(p.Due, t) })
	s.queue = slices.Insert(s.queue, i, Planned{
		Due: due, DC: dc, Pick: s.random.IntN(1 << 20), Method: method, Key: key, TTL: ttl,
		Pinned: strings.HasPrefix(key, s.prefix+"pinned"),
	})
}
