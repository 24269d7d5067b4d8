package main

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"userinfo/internal/config"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/clockskew"
)

// driverTimeout is the longest time of one statement. It is longer than Cassandra's write timeout (2 s), so that
// Cassandra's own answer arrives. The rest of api.RequestTimeout is for deleting a session at least in this datacentre.
const driverTimeout = 2300 * time.Millisecond

// Pauses between attempts to reach Cassandra at the start.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 10 * time.Second
)

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
	session, err := s.connect(ctx, cassandraConfig(s.config, s.reloader.Current))
	if err != nil {
		return err
	}
	defer session.Close()
	l, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer s.startReplays(ctx, session)()
	defer s.startClockWatch(ctx, session)()
	return s.serve(ctx, l, func(c store.CollectionConfig) store.Rows { return session.Table(c) })
}

// startReplays replays pending deletes until ctx ends or stop is called.
func (s *service) startReplays(ctx context.Context, c *cassandra.Session) (stop func()) {
	var pending []store.PendingList
	for _, k := range s.config.Collections {
		pending = append(pending, c.Table(k.StoreConfig()).PendingLists()...)
	}
	replayer := store.NewReplayer(pending, store.ReplayerOptions{Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.metrics})
	return inBackground(ctx, replayer.Run)
}

// startClockWatch compares this instance's clock with those of the other instances and the nodes, until ctx ends or stop is
// called. The instance's name is the host's name and a random part, because a host may run several instances.
func (s *service) startClockWatch(ctx context.Context, c *cassandra.Session) (stop func()) {
	host, err := os.Hostname()
	if err != nil {
		host = "unnamed"
	}
	name := host + "-" + strings.ToLower(crand.Text()[:6])
	s.log.Info("comparing clocks with the other instances", "as", name)
	monitor := clockskew.NewMonitor(clockskew.Config{
		Instance: name, Datacentre: c.LocalDatacentre(), Table: c.ClockTable(),
		Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.clockMetrics,
	})
	return inBackground(ctx, monitor.Run)
}

// connect waits until Cassandra can be reached, checks the schema, and opens a session. A schema that differs is an error at
// once.
func (s *service) connect(ctx context.Context, c cassandra.Config) (*cassandra.Session, error) {
	for pause := firstPause; ; pause = min(pause*2, maxPause) {
		differences, err := s.checkSchema(ctx, c)
		if blocking := schema.Blocking(differences); err == nil && len(blocking) > 0 {
			return nil, schemaError(blocking)
		}
		for _, d := range differences {
			s.log.Warn("a setting of Cassandra can make requests fail", "object", d.Object, "have", d.Have, "want", d.Want, "remedy", d.Remedy)
		}
		if err == nil {
			var session *cassandra.Session
			if session, err = cassandra.Open(ctx, c, s.cassandraMetrics, s.log, s.now); err == nil {
				return session, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, cassandra.ErrCannotLogIn) {
			return nil, err
		}
		s.log.Warn("Cassandra cannot be used yet; trying again", "in", pause.String(), "error", err.Error())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *service) checkSchema(ctx context.Context, c cassandra.Config) ([]schema.Difference, error) {
	admin, err := cassandra.OpenAdmin(ctx, c, s.log)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	return schema.Check(ctx, admin, s.config.SchemaSpec())
}

func schemaError(differences []schema.Difference) error {
	errs := []error{errors.New("the schema differs from what the service needs; `userinfo schema apply` may repair it")}
	for _, d := range differences {
		errs = append(errs, errors.New(d.String()))
	}
	return errors.Join(errs...)
}
