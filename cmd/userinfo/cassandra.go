package main

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"userinfo/internal/config"
	"userinfo/internal/panics"
	"userinfo/passwords"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/clockskew"
)

// driverTimeout is the longest time of one statement. It is longer than Cassandra's write timeout (2 s), so that
// Cassandra's own answer arrives. The rest of api.RequestTimeout is for deleting a session at least in this datacentre.
const driverTimeout = 2300 * time.Millisecond

// cassandraConfig returns the settings of connections to Cassandra. current returns the Snapshot in force.
func cassandraConfig(o *config.Opened, current func() *config.Snapshot) cassandra.Config {
	c := o.Cassandra
	return cassandra.Config{
		Hosts:           c.Hosts,
		Port:            c.Port,
		Keyspace:        c.Keyspace,
		LocalDatacentre: c.LocalDatacentre,
		Credentials:     c.Credentials,
		TLS:             func() *tls.Config { return current().Cassandra.Config() },
		Timeout:         driverTimeout,
	}
}

// serveCassandra serves from Cassandra until ctx ends.
func (s *service) serveCassandra(ctx context.Context) error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	return s.serveDatabase(ctx, l, s.openCassandra)
}

// openCassandra is an opener: it opens a session with Cassandra.
func (s *service) openCassandra(ctx context.Context) (*database, error) {
	c := cassandraConfig(s.config, s.reloader.Current)
	c.Panics = s.panics
	session, err := cassandra.Open(ctx, c, s.cassandraMetrics, s.log, s.now)
	if err != nil {
		return nil, err
	}
	return &database{
		table:     func(c store.CollectionConfig) store.Rows { return session.Table(c) },
		passwords: func() passwords.Rows { return session.PasswordTable() },
		checkSchema: func(ctx context.Context) ([]schema.Difference, error) {
			return schema.Check(ctx, session, s.config.SchemaSpec())
		},
		background: []backgroundLoop{
			{panics.Replay, func(ctx context.Context) { s.replay(ctx, session) }},
			{panics.Clocks, func(ctx context.Context) { s.watchClocks(ctx, session) }},
		},
		close: session.Close,
	}, nil
}

// replay replays pending deletes until ctx ends.
func (s *service) replay(ctx context.Context, c *cassandra.Session) {
	var pending []store.PendingList
	var names []string
	for _, k := range s.config.Collections {
		names = append(names, k.Name)
		for _, list := range c.Table(k.StoreConfig()).PendingLists() {
			if beneath, ok := k.Beneath(); ok {
				list = list.Through(k.Layout, c.Table(beneath), s.panics)
			}
			pending = append(pending, list)
		}
	}
	if s.config.Passwords != nil {
		names = append(names, passwords.Name)
		pending = append(pending, c.PasswordTable().PendingLists()...)
	}
	store.NewReplayer(pending, store.ReplayerOptions{
		Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.metrics, Panics: s.panics,
		Unknown: func(ctx context.Context, bucket int) ([]store.PendingList, error) {
			return c.UnknownPendingLists(ctx, bucket, names)
		},
	}).Run(ctx)
}

// watchClocks compares this instance's clock with those of the other instances and the nodes until ctx ends. The instance's
// name is the host's name and a random part, because a host may run several instances.
func (s *service) watchClocks(ctx context.Context, c *cassandra.Session) {
	host, err := os.Hostname()
	if err != nil {
		host = "unnamed"
	}
	name := host + "-" + strings.ToLower(crand.Text()[:6])
	s.log.Info("comparing clocks with the other instances", "as", name)
	clockskew.NewMonitor(clockskew.Config{
		Instance: name, Datacentre: c.LocalDatacentre(), Table: c.ClockTable(),
		Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.clockMetrics, Panics: s.panics,
	}).Run(ctx)
}
