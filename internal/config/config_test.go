package config

import (
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func TestParse_AppliesDefaults(t *testing.T) {
	c, err := Parse("u.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	k := c.Collections[0]
	if c.Cassandra.Port != 9042 || c.Cassandra.Keyspace != "userinfo" || c.Limits != (Limits{MaxInFlight: 1024, MaxConnections: 16384, MaxUnauthenticatedConnections: 8192, MaxConnectionsPerAddress: 8192,
		IdleTimeout: 75 * time.Second, PerClient: access.Limits{MaxInFlight: 512, MaxConnections: 8192, BytesPerSecond: 24 << 20}}) || c.LogLevel != "info" ||
		*c.Shutdown.Drain != 2*time.Second || c.Shutdown.Grace != 5*time.Second {
		t.Errorf("the service's: %+v", c)
	}
	if k.Path != "/sessions/v1" || k.Table != "sessions" || k.Layout != store.LayoutUserInfo || k.DefaultTTL != 24*time.Hour ||
		k.MaxTTL != 24*time.Hour || *k.Fence != time.Minute || *k.TouchSlack != 0.01 || k.MaxValueBytes != 1<<20 {
		t.Errorf("the collection's: %+v", k)
	}
}

func TestParse_AcceptsZeroFenceTouchSlackAndDrain(t *testing.T) {
	c, err := Parse("u.yaml", []byte(strings.Replace(minimal, "- name: sessions", "- {name: sessions, fence: 0s, touch_slack: 0}", 1)+"shutdown: {drain: 0s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if k := c.Collections[0]; *k.Fence != 0 || *k.TouchSlack != 0 || *c.Shutdown.Drain != 0 {
		t.Errorf("fence %v, touch slack %v, drain %v", *k.Fence, *k.TouchSlack, *c.Shutdown.Drain)
	}
}
