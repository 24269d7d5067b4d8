package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Mix is a mix of requests: how many per second of each, and on which keys.
type Mix struct {
	Get, Set, Touch, Delete float64
	Miss                    float64 // gets of keys that nobody has set
	Keys                    Keys
}

// Keys is the distribution of requests over the keys of the data set.
type Keys string

const (
	Zipf    Keys = "zipf"    // few keys get most requests: the i-th key's share is proportional to i^-1.1
	Uniform Keys = "uniform" // all keys get the same share, so no cache of hot keys helps
	One     Keys = "one"     // the first key gets all requests
)

// zipfExponent gives the first of 5,000 keys a sixth of all requests.
const zipfExponent = 1.1

// Rate returns the requests/s of all kinds together.
func (m Mix) Rate() float64 { return m.Get + m.Set + m.Touch + m.Delete + m.Miss }

func (m Mix) check(d Dataset) error {
	rates := []float64{m.Get, m.Set, m.Touch, m.Delete, m.Miss}
	switch {
	case slices.ContainsFunc(rates, func(r float64) bool { return !(r >= 0) }) || !(m.Rate() > 0):
		return fmt.Errorf("rates of a mix must not be negative, and one of them must be positive: %v", rates)
	case m.Delete > m.Set:
		return fmt.Errorf("a mix must not delete (%g/s) more than it sets (%g/s): each delete needs a key that was set", m.Delete, m.Set)
	case !slices.Contains([]Keys{Zipf, Uniform, One}, m.Keys):
		return fmt.Errorf("keys are chosen by zipf, uniform or one, not by %q", m.Keys)
	case d.Values < 1 || d.ValueBytes < 1:
		return fmt.Errorf("a data set needs at least one value of one byte, not %d of %d bytes", d.Values, d.ValueBytes)
	}
	return nil
}

// choice is a request before it has a key and a value.
type choice struct {
	method Method
	from   keySource
	index  uint64
}

// keySource tells where the key of a request comes from.
type keySource uint8

const (
	fromData   keySource = iota // the data set, which always stays complete
	fromLogin                   // a new key, which the generator deletes later
	fromLogout                  // the oldest key that the generator has set and not yet deleted
	fromNobody                  // a key that nobody has set
)

// chooser draws requests from a mix. They follow from the seed. One goroutine uses it at a time.
type chooser struct {
	mix    Mix
	data   Dataset
	random *rand.Rand
	zipf   *rand.Zipf
	logins uint64 // keys made so far
}

func newChooser(m Mix, d Dataset, seed uint64) *chooser {
	c := &chooser{mix: m, data: d, random: rand.New(rand.NewPCG(seed, 0))}
	if m.Keys == Zipf {
		c.zipf = rand.NewZipf(c.random, zipfExponent, 1, uint64(d.Values-1))
	}
	return c
}

func (c *chooser) next() choice {
	p := c.random.Float64() * c.mix.Rate()
	if p -= c.mix.Get; p < 0 {
		return choice{Get, fromData, c.key()}
	}
	if p -= c.mix.Miss; p < 0 {
		return choice{Get, fromNobody, c.random.Uint64()}
	}
	if p -= c.mix.Touch; p < 0 {
		return choice{Touch, fromData, c.key()}
	}
	if p -= c.mix.Delete; p < 0 {
		return choice{Delete, fromLogout, 0}
	}
	// As many sets make a new key as there are deletes.
	if c.mix.Delete > 0 && c.random.Float64()*c.mix.Set < c.mix.Delete {
		c.logins++
		return choice{Set, fromLogin, c.logins}
	}
	return choice{Set, fromData, c.key()}
}

// key returns an index in the data set.
func (c *chooser) key() uint64 {
	switch c.mix.Keys {
	case Zipf:
		return c.zipf.Uint64()
	case Uniform:
		return c.random.Uint64N(uint64(c.data.Values))
	default:
		return 0
	}
}
