package clockskew

import (
	"context"
	"sync"

	"userinfo/internal/panics"
)

// nodeSkews asks all nodes at the same time. It leaves out nodes that do not answer.
func (m *Monitor) nodeSkews(ctx context.Context) (skews []skew) {
	nodes := m.config.Table.Nodes()
	answers := make([]*skew, len(nodes))
	var asking sync.WaitGroup
	for i, node := range nodes {
		asking.Go(func() {
			defer m.config.Panics.Recover(panics.Clocks, nil)
			answers[i] = m.nodeSkew(ctx, node)
		})
	}
	asking.Wait()
	for _, a := range answers {
		if a != nil {
			skews = append(skews, *a)
		}
	}
	return skews
}

// nodeSkew asks a node several times and returns the skew with the smallest error, or nil if the node did not answer.
func (m *Monitor) nodeSkew(ctx context.Context, node string) (best *skew) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for range requestsToNode {
		sent := m.config.Now()
		nodeTime, err := m.config.Table.NodeTime(ctx, node)
		if err != nil {
			return best
		}
		half := m.config.Now().Sub(sent) / 2
		s := skew{kind: "cassandra", name: node, ahead: nodeTime.Sub(sent.Add(half)), maxError: half}
		if best == nil || s.maxError < best.maxError {
			best = &s
		}
	}
	return best
}
