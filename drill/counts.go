package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"userinfo/drill/history"
	"userinfo/internal/fleet"
)

// requestCounts is how often the instances answered, as their metrics and logs count it. The keys are Counts without numbers.
type requestCounts struct{ metrics, logs map[history.Count]int }

var historyMethods = map[string]history.Method{
	http.MethodGet: history.Get, http.MethodPut: history.Set, http.MethodPatch: history.Touch, http.MethodDelete: history.Delete,
}

// requestSeconds is the histogram of requests.
const requestSeconds = "userinfo_http_request_seconds"

// countRequests returns the current counts of all instances.
func (e *environment) countRequests(ctx context.Context) (requestCounts, error) {
	c := requestCounts{make(map[history.Count]int), make(map[history.Count]int)}
	for _, i := range e.instances {
		metrics, err := e.metrics(ctx, i, requestSeconds)
		if err != nil {
			return c, fmt.Errorf("counting the requests of %s: %w", i.Name, err)
		}
		for _, m := range metrics[requestSeconds].GetMetric() {
			label := make(map[string]string)
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			if label["route"] == "/sessions/v1/:key" {
				status, _ := strconv.Atoi(label["status"])
				c.metrics[history.Count{Instance: i.Name, Run: i.Run(), Method: historyMethods[label["method"]], Status: status}] = int(m.GetHistogram().GetSampleCount())
			}
		}
		c.addLog(i.Name, i.Run(), i.RequestCounts())
	}
	for _, k := range e.killedRuns {
		c.addLog(k.instance.Name, k.run, k.logged)
	}
	return c, nil
}

func (c requestCounts) addLog(instance string, run int, logged map[fleet.LoggedRequest]int) {
	for r, n := range logged {
		c.logs[history.Count{Instance: instance, Run: run, Method: historyMethods[r.Method], Status: r.Status}] += n
	}
}

// compareCounts returns what clients, metrics and logs counted during a drill. The metrics of a killed run are unknown (-1).
func (e *environment) compareCounts(operations []history.Operation, before, after requestCounts) []history.Count {
	killed := make(map[string]bool)
	for _, k := range e.killedRuns {
		killed[fmt.Sprint(k.instance.Name, k.run)] = true
	}
	clients := make(map[history.Count]int)
	for _, o := range operations {
		clients[history.Count{Instance: o.Instance, Run: o.Run, Method: o.Method, Status: o.Status}]++
	}
	all := maps.Clone(clients)
	maps.Copy(all, after.metrics)
	maps.Copy(all, after.logs)
	var counts []history.Count
	for c := range all {
		c.Clients, c.Metrics, c.Log = clients[c], after.metrics[c]-before.metrics[c], after.logs[c]-before.logs[c]
		if killed[fmt.Sprint(c.Instance, c.Run)] {
			c.Metrics = -1
		}
		if c.Clients != 0 || c.Metrics > 0 || c.Log != 0 {
			counts = append(counts, c)
		}
	}
	return counts
}
