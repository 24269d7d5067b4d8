package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"userinfo/internal/config"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

// parseFlags reads a command's flags. Whatever is wrong has been said on stderr when ok is false.
func parseFlags(flags *flag.FlagSet, args []string, stderr io.Writer) (ok bool) {
	flags.SetOutput(stderr)
	if flags.Parse(args) != nil {
		return false
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "userinfo %s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		return false
	}
	return true
}

// configuredAlone reads the flags of a command that has only --config, and the configuration.
func configuredAlone(name string, args []string, stderr io.Writer) (*config.File, bool) {
	return readConfigured(flag.NewFlagSet(name, flag.ContinueOnError), args, stderr)
}

// readConfigured adds --config to flags, reads them, and the configuration.
func readConfigured(flags *flag.FlagSet, args []string, stderr io.Writer) (*config.File, bool) {
	file := flags.String("config", "", "the configuration `FILE` (required)")
	if !parseFlags(flags, args, stderr) {
		return nil, false
	}
	if *file == "" {
		fmt.Fprintf(stderr, "userinfo %s: --config FILE is missing\n", flags.Name())
		return nil, false
	}
	c, err := config.Load(*file)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return nil, false
	}
	return c, true
}

// configured is configuredAlone with the files that the configuration names.
func configured(name string, args []string, stderr io.Writer) (*config.File, *files, bool) {
	return configuredWith(flag.NewFlagSet(name, flag.ContinueOnError), args, stderr)
}

// configuredWith is configured for a command that has other flags, too.
func configuredWith(flags *flag.FlagSet, args []string, stderr io.Writer) (*config.File, *files, bool) {
	c, ok := readConfigured(flags, args, stderr)
	if !ok {
		return nil, nil, false
	}
	f, err := openFiles(c.Config, true)
	if err != nil {
		fmt.Fprintln(stderr, c.Locate(err))
		return nil, nil, false
	}
	return c, f, true
}

// serve runs the service on Cassandra until ctx ends.
func serve(ctx context.Context, args []string, _, stderr io.Writer) int {
	c, f, ok := configured("serve", args, stderr)
	if !ok {
		return exitUsage
	}
	s, err := newService(c.Config, f, stderr)
	if err != nil {
		fmt.Fprintln(stderr, c.Locate(err))
		return exitUsage
	}
	s.reload.follow(c)
	defer s.reload.start(ctx)()
	if err := s.serveCassandra(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return exitOK // stopped before it had begun
		}
		s.log.Error("cannot serve", "error", err.Error())
		return exitFailed
	}
	return exitOK
}

func (s *service) serveCassandra(ctx context.Context) error {
	config := s.files.cassandraConfig(s.config.Cassandra)
	session, err := s.connect(ctx, config)
	if err != nil {
		return err
	}
	defer session.Close()
	l, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer s.carry(ctx, session)()
	defer s.watchClocks(ctx, session)()
	return s.run(ctx, l, func(c store.CollectionConfig) store.Rows { return session.Table(c) })
}

// carry finishes deletes that are pending, until ctx ends or stop is called.
func (s *service) carry(ctx context.Context, c *cassandra.Session) (stop func()) {
	var pending []store.PendingDeletes
	for _, k := range s.config.Collections {
		pending = append(pending, c.Table(k.StoreConfig()))
	}
	carrier := store.NewReplayer(pending, store.ReplayerOptions{Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.metrics})
	return inBackground(ctx, carrier.Run)
}

// watchClocks compares this instance's clock with others', until ctx ends or stop is called. For that it has the
// machine's name and, as there may be several on one, something random.
func (s *service) watchClocks(ctx context.Context, c *cassandra.Session) (stop func()) {
	host, err := os.Hostname()
	if err != nil {
		host = "unnamed"
	}
	name := host + "-" + strings.ToLower(crand.Text()[:6])
	s.log.Info("comparing clocks with the other instances'", "as", name)
	return inBackground(ctx, store.NewClockWatch(name, c.LocalDatacentre(), c.ClockTable(), store.ClockTools{Now: s.now, Random: rand.IntN, Log: s.log, Metrics: s.metrics}).Run)
}

// inBackground runs until ctx ends or stop is called; stop returns when it has ended.
func inBackground(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// Pauses between attempts to reach a Cassandra that is not up yet.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 10 * time.Second
)

// connect waits for Cassandra, compares the schema and connects. A schema that differs is an error at once.
func (s *service) connect(ctx context.Context, config cassandra.Config) (*cassandra.Session, error) {
	for pause := firstPause; ; pause = min(pause*2, lastPause) {
		differences, err := s.compare(ctx, config)
		if err == nil && len(differences) > 0 {
			return nil, schemaError(differences)
		}
		if err == nil {
			var c *cassandra.Session
			if c, err = cassandra.Open(ctx, config, s.cassandraMetrics, s.log, s.now); err == nil {
				return c, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.log.Warn("Cassandra cannot be used yet; trying again", "in", pause.String(), "error", err.Error())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *service) compare(ctx context.Context, config cassandra.Config) ([]schema.Difference, error) {
	admin, err := cassandra.OpenAdmin(ctx, config, s.log)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	return schema.Check(ctx, admin, s.config.SchemaSpec())
}

func schemaError(differences []schema.Difference) error {
	errs := []error{errors.New("the schema is not what the service relies on; `userinfo schema apply` may help")}
	for _, d := range differences {
		errs = append(errs, errors.New(d.String()))
	}
	return errors.Join(errs...)
}
