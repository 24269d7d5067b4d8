package judge

import (
	"fmt"
	"maps"
	"slices"

	"userinfo/drill/history"
)

const (
	// clientDisconnected is the status that metrics and log record if the client had disconnected.
	clientDisconnected = 499
	// unloggedAnswers is how many answers of a killed process may be missing in its log.
	unloggedAnswers = 3
)

// verifyCounts checks I10 for each method of each run of an instance.
func (e *evidence) verifyCounts() {
	if len(e.h.Counts) == 0 {
		e.note("I10", "nothing was counted")
	}
	groups := make(map[string][]history.Count)
	for _, c := range e.h.Counts {
		name := fmt.Sprintf("instance %s, run %d, %s", c.Instance, c.Run, c.Method)
		groups[name] = append(groups[name], c)
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		e.verifyCountGroup(name, groups[name])
	}
}

// verifyCountGroup compares the counts of each status. Then it compares the sums: metrics and log may count more answers
// than the clients, but only as many as there were clients that received no answer or disconnected.
func (e *evidence) verifyCountGroup(name string, counts []history.Count) {
	unanswered, moreInMetrics, moreInLog := 0, 0, 0
	for _, c := range counts {
		switch c.Status {
		case 0:
			unanswered += c.Clients
			continue
		case clientDisconnected:
			unanswered += max(c.Clients, c.Metrics, c.Log)
			continue
		}
		e.count("I10", 1)
		killed := c.Metrics < 0
		moreInMetrics += c.Metrics - c.Clients
		moreInLog += c.Log - c.Clients
		missingInMetrics := !killed && c.Clients > c.Metrics
		missingInLog := c.Log >= 0 && c.Clients > c.Log && !(killed && c.Clients <= c.Log+unloggedAnswers)
		switch {
		case missingInMetrics, missingInLog:
			e.violation("I10", e.end, nil, "%s: clients received status %d %d times, the metrics count %d and the log %d", name, c.Status, c.Clients, c.Metrics, c.Log)
		case !killed && c.Log >= 0 && c.Metrics != c.Log:
			e.violation("I10", e.end, nil, "%s: the metrics count status %d %d times and the log %d times", name, c.Status, c.Metrics, c.Log)
		}
	}
	if more := max(moreInMetrics, moreInLog); more > unanswered {
		e.violation("I10", e.end, nil, "%s: metrics or log count %d answers more than the clients, but only %d clients received no answer", name, more, unanswered)
	}
}
