//go:build integration

package e2e

import (
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

// Instances and nodes are on one machine here, so that there is no skew but what cannot be told from none.
func TestInstancesKnowTheClocksOfTheirNodesAndOfInstancesInTheOtherDatacentre(t *testing.T) {
	w := shared
	instances := map[string]*fleet.Instance{"dc1": w.serve(t, "dc1"), "dc2": w.serve(t, "dc2")}
	for here, other := range map[string]string{"dc1": "dc2", "dc2": "dc1"} {
		i := instances[here]
		var skews, bounds map[string]float64
		for end := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
			text := w.metrics(t, i)
			skews, bounds = clocks(t, text, "skew"), clocks(t, text, "skew_error")
			if len(skews) == 1+len(w.cluster.Nodes(here)) && len(bounds) == len(skews) && bounds["instance "+other] < 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("in %s these clocks are known, after a minute: %v (%v)\n%s", here, skews, bounds, i.Log())
			}
		}
		for of, ahead := range skews {
			if math.Abs(ahead) > bounds[of]+0.001 {
				t.Errorf("in %s, %s is held to be ahead by %v ± %v s, and is not", here, of, ahead, bounds[of])
			}
		}
		t.Logf("in %s: %v, give or take %v", here, skews, bounds)
	}
}

var clockLine = regexp.MustCompile(`(?m)^userinfo_clock_(\w+)_seconds\{kind="(\w+)",of="([^"/]+)(?:/[^"]+)?"\} (\S+)$`)

// clocks are the values of one metric of clocks, by node or by the instance's datacentre.
func clocks(t *testing.T, text, name string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, m := range clockLine.FindAllStringSubmatch(text, -1) {
		value, err := strconv.ParseFloat(m[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		if m[1] == name {
			all[m[2]+" "+m[3]] = value
		}
	}
	return all
}
