package store

import "sync"

// mostIdleHands is how many hands are kept for attempts to come. One takes some 8 kB.
const mostIdleHands = 256

// hands are goroutines that make attempts, one after another: the driver needs a larger stack than a goroutine begins
// with, and to have it grow for each attempt is a good part of all that a read costs here. There are as many as attempts
// go on, and some idle ones.
type hands struct {
	mu        sync.Mutex // guards what follows
	idle      []*hand    // who was busy last comes last, and is asked first
	dismissed bool       // none is to be idle any more
}

// hand is one of them. Its channel holds one job, as it may not have put down the last.
type hand struct{ jobs chan job }

// job is an attempt to be made.
type job struct {
	of      interface{ make(*attempt) }
	attempt *attempt
}

// do has a job done, and does not wait.
func (h *hands) do(j job) {
	if one := h.take(); one != nil {
		one.jobs <- j
		return
	}
	one := &hand{jobs: make(chan job, 1)}
	go one.work(h, j)
}

func (one *hand) work(h *hands, j job) {
	for more := true; more; j, more = <-one.jobs {
		j.of.make(j.attempt)
		j = job{} // which an idle hand is not to keep alive
		if !h.rest(one) {
			return
		}
	}
}

func (h *hands) take() *hand {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.idle) - 1
	if last < 0 {
		return nil
	}
	one := h.idle[last]
	h.idle[last], h.idle = nil, h.idle[:last]
	return one
}

// rest tells whether the hand is kept.
func (h *hands) rest(one *hand) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dismissed || len(h.idle) == mostIdleHands {
		return false
	}
	h.idle = append(h.idle, one)
	return true
}

// dismiss ends the idle hands, and has the others end with what they do. What is still to be done is done.
func (h *hands) dismiss() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dismissed = true
	for _, one := range h.idle {
		close(one.jobs)
	}
	h.idle = nil
}
