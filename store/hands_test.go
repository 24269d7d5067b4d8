package store

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// held makes attempts that end when they are let.
type held struct {
	let  chan struct{}
	made atomic.Int64
}

func (h *held) make(*attempt) {
	<-h.let
	h.made.Add(1)
}

func TestHandsDoEveryJobAtOnceAndOnlySomeAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
		var h hands
		of := &held{let: make(chan struct{})}
		round := func(jobs, idle int) {
			t.Helper()
			for range jobs {
				h.do(job{of, &attempt{}})
			}
			for range jobs {
				of.let <- struct{}{}
			}
			synctest.Wait()
			if n := len(h.idle); n != idle {
				t.Errorf("%d hands are idle after %d jobs at once, want %d", n, jobs, idle)
			}
		}
		round(4, 4)
		round(3, 4)
		round(mostIdleHands+5, mostIdleHands)
		h.do(job{of, &attempt{}})
		h.dismiss()
		of.let <- struct{}{}
		synctest.Wait()
		round(2, 0)
		if made, want := of.made.Load(), int64(4+3+mostIdleHands+5+1+2); made != want {
			t.Errorf("%d jobs were done, want %d", made, want)
		}
	})
}
