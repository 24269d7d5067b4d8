package load

import (
	"math/rand/v2"
	"time"
)

// schedule is the requests of one generator, in their order. It follows from its seed; so do the times at which they are
// due. One goroutine uses it at a time.
type schedule struct {
	w      Workload
	data   Dataset
	random *rand.Rand
	zipf   *rand.Zipf
	logins uint64 // keys of its own that have been given to sets so far
}

// request is what is to be asked, before it is put into words.
type request struct {
	method Method
	kind   keyKind
	index  uint64
}

// keyKind is whose a request's key is.
type keyKind uint8

const (
	ofData   keyKind = iota // the data set's: always there, and never deleted
	ofLogin                 // one that the generator makes up for a set, and later deletes
	ofLogout                // whichever key of a set is to be deleted next
	ofNobody                // never set
)

func newSchedule(w Workload, d Dataset, seed, share uint64) *schedule {
	s := &schedule{w: w, data: d, random: rand.New(rand.NewPCG(seed, share))}
	if w.Keys == Zipf {
		s.zipf = rand.NewZipf(s.random, ZipfExponent, 1, uint64(d.Values-1))
	}
	return s
}

// next draws a request from the mix.
func (s *schedule) next() request {
	p := s.random.Float64() * s.w.Rate()
	if p -= s.w.Get; p < 0 {
		return request{Get, ofData, s.key()}
	}
	if p -= s.w.Miss; p < 0 {
		return request{Get, ofNobody, s.random.Uint64()}
	}
	if p -= s.w.Touch; p < 0 {
		return request{Touch, ofData, s.key()}
	}
	if p -= s.w.Delete; p < 0 {
		return request{Delete, ofLogout, 0}
	}
	// As many sets make new keys as there are deletes.
	if s.w.Delete > 0 && s.random.Float64()*s.w.Set < s.w.Delete {
		s.logins++
		return request{Set, ofLogin, s.logins}
	}
	return request{Set, ofData, s.key()}
}

// key is an index in the data set.
func (s *schedule) key() uint64 {
	switch s.w.Keys {
	case Zipf:
		return s.zipf.Uint64()
	case Uniform:
		return s.random.Uint64N(uint64(s.data.Values))
	default:
		return 0
	}
}

// pause is how long after one request the next is due: exponential, which makes arrivals Poisson's, or always the mean.
func (s *schedule) pause(rate float64, even bool) time.Duration {
	seconds := 1 / rate
	if !even {
		seconds *= s.random.ExpFloat64()
	}
	return time.Duration(seconds * float64(time.Second))
}
