package testcluster

import (
	"maps"
	"testing"
	"time"
)

func TestPeerStates_NewestMessageCounts(t *testing.T) {
	const log = `2026-11-23T06:19:49.734211Z INFO  [GossipStage:1] 2026-11-23 06:19:49,734 Gossiper.java:1548 - Node /10.0.0.1:7000 is now part of the cluster
2026-11-23T06:20:01Z INFO  [GossipStage:1] 2026-11-23 06:20:01,000 Gossiper.java:1492 - InetAddress /10.0.0.1:7000 is now UP
2026-11-23T06:20:02.5Z INFO  [GossipStage:1] 2026-11-23 06:20:02,500 Gossiper.java:1492 - InetAddress /10.0.0.11:7000 is now UP
2026-11-23T06:20:03Z INFO  [GossipTasks:1] 2026-11-23 06:20:03,000 Gossiper.java:1520 - InetAddress /10.0.0.1:7000 is now DOWN
2026-11-23T06:20:04Z INFO  [GossipStage:1] 2026-11-23 06:20:04,000 Gossiper.java:1492 - InetAddress /10.0.0.2:7000 is now UP
2026-11-23T06:20:05Z INFO  [GossipTasks:1] 2026-11-23 06:20:05,000 Gossiper.java:1165 - FatClient /10.0.0.2:7000 has been silent for 1000ms, removing from gossip
2026-11-23T06:20:06Z INFO  [GossipStage:1] 2026-11-23 06:20:06,000 Gossiper.java:1508 - InetAddress run-1-dc2-1.run-1/10.0.0.11:7000 is now DOWN
`
	day := time.Date(2026, 11, 23, 6, 20, 0, 0, time.UTC)
	want := map[string]peerState{
		"10.0.0.1":  {up: false, at: day.Add(3 * time.Second)},
		"10.0.0.11": {up: false, at: day.Add(6 * time.Second)},
		"10.0.0.2":  {up: false, at: day.Add(5 * time.Second)},
	}
	got, err := parsePeerStates(log)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
