package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type valueKey struct{}

func TestABudgetIsAContextWithADeadline(t *testing.T) {
	const long = time.Minute
	for claim, c := range map[string]struct {
		end  func(b *budget, cancelParent func())
		want error
	}{
		"nothing has ended it":            {func(*budget, func()) {}, nil},
		"its time is over":                {func(*budget, func()) { time.Sleep(long) }, context.DeadlineExceeded},
		"the request's context has ended": {func(_ *budget, cancel func()) { cancel() }, context.Canceled},
		"the request is over":             {func(b *budget, _ func()) { b.end() }, context.Canceled},
	} {
		for _, waited := range []bool{false, true} {
			t.Run(claim+map[bool]string{false: ", and nobody has waited", true: ", and somebody has waited"}[waited], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancel(context.WithValue(t.Context(), valueKey{}, "v"))
					defer cancel()
					b := &budget{Context: parent, deadline: time.Now().Add(long)}
					defer b.end()
					if waited {
						b.Done()
					}
					c.end(b, cancel)
					synctest.Wait()
					if err := b.Err(); !errors.Is(err, c.want) {
						t.Errorf("Err is %v, want %v", err, c.want)
					}
					done := false
					select {
					case <-b.Done():
						done = true
					default:
					}
					if done != (c.want != nil) {
						t.Errorf("done: %v", done)
					}
					if err := b.Err(); !errors.Is(err, c.want) {
						t.Errorf("once Done was called, Err is %v, want %v", err, c.want)
					}
					if v := b.Value(valueKey{}); v != "v" {
						t.Errorf("the value is %v", v)
					}
				})
			})
		}
	}
}

func TestABudgetEndsWithTheEarlierOfTwoDeadlines(t *testing.T) {
	now := time.Now()
	for _, sooner := range []time.Duration{time.Second, time.Hour} {
		parent, cancel := context.WithDeadline(t.Context(), now.Add(sooner))
		defer cancel()
		b := &budget{Context: parent, deadline: now.Add(time.Minute)}
		if got, ok := b.Deadline(); !ok || got != now.Add(min(sooner, time.Minute)) {
			t.Errorf("deadline %v", got.Sub(now))
		}
	}
}

// A goroutine for each context that is made from a budget would be what the budget spares.
func TestAContextMadeFromABudgetEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{Context: t.Context(), deadline: time.Now().Add(time.Minute)}
		child, cancel := context.WithCancel(b)
		defer cancel()
		b.end()
		if child.Err() == nil { // at once: no goroutine has to run first
			t.Error("it goes on")
		}
	})
}
