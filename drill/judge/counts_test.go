package judge_test

import (
	"testing"

	"userinfo/drill/history"
)

func TestEvaluate_I10Counts(t *testing.T) {
	counts := func(all ...history.Count) func(*recording) { return func(r *recording) { r.Counts = all } }
	is := func(status, clients, metrics, log int) history.Count {
		return history.Count{Instance: "i", Method: history.Get, Status: status, Clients: clients, Metrics: metrics, Log: log}
	}
	runCases(t, []testCase{
		{"all agree", counts(is(200, 5, 5, 5), is(503, 1, 1, 1)), ""},
		{"a failure is counted as a success", counts(is(200, 5, 6, 5), is(503, 1, 0, 1)), "I10"},
		{"the log has one less", counts(is(200, 5, 5, 4)), "I10"},
		{"the service counts more than the clients without an answer explain", counts(is(200, 5, 7, 7), is(0, 1, 0, 0)), "I10"},
		{"the service counts one more for a client without an answer", counts(is(200, 5, 6, 6), is(0, 1, 0, 0)), ""},
		{"the service counts one more for a client that disconnected", counts(is(200, 5, 6, 6), is(499, 0, 1, 1)), ""},
		{"a client received an answer that the service did not count, while others received none", counts(is(200, 5, 4, 4), is(0, 3, 0, 0)), "I10"},
		{"metrics and log differ, while a client received no answer", counts(is(200, 5, 6, 5), is(0, 1, 0, 0)), "I10"},
		{"a killed run has no metrics, and its log lacks the last lines", counts(is(200, 5, -1, 3), is(0, 1, -1, 0)), ""},
		{"the log of a killed run lacks many lines", counts(is(200, 50, -1, 3), is(0, 1, -1, 0)), "I10"},
		{"the log of a killed run has more lines than requests", counts(is(200, 5, -1, 7), is(0, 1, -1, 0)), "I10"},
	})
}
