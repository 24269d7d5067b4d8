package main

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

func TestIsCalm_AllowsOneSlowAnswerInAHundred(t *testing.T) {
	operations := func(slow int, more ...history.Operation) []history.Operation {
		all := more
		for i := range 100 {
			o := history.Operation{Method: history.Get, Status: 200, Due: time.Second, Complete: time.Second + time.Millisecond}
			if i < slow {
				o.Complete += time.Second
			}
			all = append(all, o)
		}
		return all
	}
	for name, test := range map[string]struct {
		operations []history.Operation
		want       bool
	}{
		"all fast":            {operations(0), true},
		"one slow":            {operations(1), true},
		"two slow":            {operations(2), false},
		"an error":            {operations(0, history.Operation{Method: history.Get, Status: 503, Due: time.Second}), false},
		"no answer":           {operations(0, history.Operation{Method: history.Set, Due: time.Second}), false},
		"an error before":     {operations(0, history.Operation{Method: history.Get, Status: 503}), true},
		"no operation at all": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isCalm(test.operations, time.Second, 2*time.Second); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}
