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

// TestClocks_SkewOfNodesAndInstancesIsMeasured checks the metrics of clock skew. Instances and nodes run on one machine, so
// the true skew is 0 and every measured skew must be within its error.
func TestClocks_SkewOfNodesAndInstancesIsMeasured(t *testing.T) {
	env := shared
	instances := map[string]*fleet.Instance{"dc1": env.serve(t, "dc1"), "dc2": env.serve(t, "dc2")}
	for here, other := range map[string]string{"dc1": "dc2", "dc2": "dc1"} {
		i := instances[here]
		var skews, bounds map[string]float64
		for end := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
			text := env.metrics(t, i)
			skews, bounds = clocks(t, text, "skew"), clocks(t, text, "skew_error")
			if len(skews) == 1+len(env.cluster.Nodes(here)) && len(bounds) == len(skews) && bounds["instance "+other] < 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("after a minute, the instance in %s knows these clocks: %v (errors %v)\n%s", here, skews, bounds, i.Log())
			}
		}
		for of, ahead := range skews {
			if math.Abs(ahead) > bounds[of]+0.001 {
				t.Errorf("the instance in %s measures that %s is ahead by %v ± %v s; the true skew is 0", here, of, ahead, bounds[of])
			}
		}
		t.Logf("skews in %s: %v, errors %v", here, skews, bounds)
	}
}

var clockLine = regexp.MustCompile(`(?m)^userinfo_clock_(\w+)_seconds\{kind="(\w+)",of="([^"/]+)(?:/[^"]+)?"\} (\S+)$`)

// clocks returns the values of a clock metric, by node or by the instance's datacentre.
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
