package cassandra

import (
	"log/slog"
	"testing"
	"time"

	"userinfo/store"
)

// TestSession_SurvivesEventsAboutSchema sends every event about keyspaces that the server can send.
func TestSession_SurvivesEventsAboutSchema(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	table := s.openTable()
	s.set(func(s *stubState) { s.replication = map[string]string{"class": "NetworkTopologyStrategy", "dc2": "1"} })
	s.awaitPeersRead(func() {
		for _, keyspace := range []string{"ks", "elsewhere", "", "system_auth"} {
			for _, change := range []string{"CREATED", "UPDATED", "DROPPED"} {
				for _, target := range []string{"KEYSPACE", "TABLE", "TYPE", "FUNCTION", "AGGREGATE", "ROLE"} {
					s.sendSchema(change, target, keyspace)
				}
			}
		}
		s.send("NEW_KIND_OF_EVENT", nil)
		s.sendNode("TOPOLOGY_CHANGE", "NEW_NODE", "127.0.0.9")
	})
	if err := table.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSession_SurvivesEventsAboutNodeThatMovedAndLeft makes gocql v1.7.0 remember the former address of a node, and then
// sends events about that address after the node has left.
func TestSession_SurvivesEventsAboutNodeThatMovedAndLeft(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	s.listen("127.0.0.2")
	s.listen("127.0.0.3")
	first, second, third := stubNode{1, "127.0.0.1", []string{"0"}, false}, stubNode{2, "127.0.0.2", []string{"5"}, false}, stubNode{address: "127.0.0.3", down: true}
	change := func(nodes ...stubNode) {
		s.set(func(s *stubState) { s.nodes = nodes })
		s.disconnect("")
	}
	change(first, second, third)
	config := s.config()
	config.Hosts = []string{"127.0.0.1", "127.0.0.3"}
	session, _ := s.open(config, slog.New(slog.DiscardHandler))
	table := session.Table(store.CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour})

	t.Log("the second node moves while the first is down")
	first.down, second.down = true, true
	third = stubNode{2, "127.0.0.3", []string{"5"}, false}
	s.awaitPeersRead(func() { change(first, third, stubNode{address: "127.0.0.2", down: true}) })

	t.Log("the first node is back, the second leaves")
	first.down = false
	s.awaitPeersRead(func() {
		change(first, stubNode{address: "127.0.0.3", down: true}, stubNode{address: "127.0.0.2", down: true})
	})

	t.Log("events about all addresses")
	s.awaitPeersRead(func() {
		for _, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
			for _, change := range []string{"UP", "DOWN"} {
				s.sendNode("STATUS_CHANGE", change, address)
			}
			for _, change := range []string{"NEW_NODE", "REMOVED_NODE", "MOVED_NODE"} {
				s.sendNode("TOPOLOGY_CHANGE", change, address)
			}
		}
	})
	if err := table.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
