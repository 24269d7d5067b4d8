package main

import (
	"cmp"
	"reflect"
	"slices"
	"testing"

	"userinfo/drill/history"
	"userinfo/internal/fleet"
)

func TestEnvironment_CompareCountsSubtractsEarlierRequests(t *testing.T) {
	answer := func(run, status int) history.Count {
		return history.Count{Instance: "i", Run: run, Method: history.Get, Status: status}
	}
	received := func(run, status int) []history.Operation {
		return []history.Operation{{Instance: "i", Run: run, Method: history.Get, Status: status}}
	}
	e := &environment{killedRuns: []killedRun{{instance: &fleet.Instance{Name: "i"}, run: 1}}}
	got := e.compareCounts(
		append(slices.Repeat(received(1, 200), 5), slices.Repeat(received(2, 200), 3)...),
		requestCounts{metrics: map[history.Count]int{answer(2, 404): 7}, logs: map[history.Count]int{answer(2, 404): 7, answer(1, 200): 1}},
		requestCounts{metrics: map[history.Count]int{answer(2, 404): 7, answer(2, 200): 3}, logs: map[history.Count]int{answer(2, 404): 7, answer(1, 200): 6, answer(2, 200): 3, answer(2, 503): 1}},
	)
	slices.SortFunc(got, func(a, b history.Count) int { return cmp.Or(a.Run-b.Run, a.Status-b.Status) })
	want := []history.Count{
		{Instance: "i", Run: 1, Method: history.Get, Status: 200, Clients: 5, Metrics: -1, Log: 5},
		{Instance: "i", Run: 2, Method: history.Get, Status: 200, Clients: 3, Metrics: 3, Log: 3},
		{Instance: "i", Run: 2, Method: history.Get, Status: 503, Log: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
