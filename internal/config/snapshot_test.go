package config

import "testing"

func TestParts_SnapshotHasEveryPart(t *testing.T) {
	o, err := openMinimal(t, func(_, text string) string { return text })
	if err != nil {
		t.Fatal(err)
	}
	s, p := o.Snapshot, o.parts
	if s.Rules.Policy != p.clients.policy || s.Rules.AuditKey != p.auditKey || s.Rules.Forwarded == nil || s.Rules.ClientCAs == nil ||
		s.Server != p.server || s.Cassandra != p.cassandra || s.SealKeys != p.sealKeys || s.Proxies != p.clients.proxies {
		t.Errorf("snapshot %+v of parts %+v", s, p)
	}
}

func TestParts_SnapshotFailsForInvalidHeaderName(t *testing.T) {
	o, err := openMinimal(t, func(_, text string) string { return text })
	if err != nil {
		t.Fatal(err)
	}
	c := *o.Config
	c.Proxies.ClientDN.Field = "Host"
	o.parts.clients.config = &c
	if s, err := o.parts.snapshot(); s != nil || err == nil {
		t.Errorf("got %v, %v; want an error", s, err)
	}
}
