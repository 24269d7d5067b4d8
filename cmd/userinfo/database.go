package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"userinfo/internal/panics"
	"userinfo/passwords"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

// Pauses between attempts to open the database and to check its schema.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 10 * time.Second
)

// database is an open connection to Cassandra, or to the database of a test.
type database struct {
	table tables
	// passwords returns the tables of passwords, which are used only if the service keeps passwords. nil: there are none.
	passwords func() passwords.Rows
	// checkSchema compares the schema with what the service needs.
	checkSchema checkSchema
	// background runs while the service serves.
	background []backgroundLoop
	close      func()
}

// backgroundLoop is work that goes on while the service serves.
type backgroundLoop struct {
	place panics.Place
	run   func(context.Context) // returns when its context ends
}

// checkSchema returns the differences between the schema of a database and what the service needs. An error means that the
// schema could not be read.
type checkSchema func(context.Context) ([]schema.Difference, error)

// opener opens a database. It tries once.
type opener func(context.Context) (*database, error)

// serveDatabase serves on l until ctx ends and every request that was accepted is answered. It listens at once. Until the
// database is open and its schema can be used, it answers requests on keys with 503 not-ready. It returns an error at once if
// the database can never be used (ErrCannotLogIn).
func (s *service) serveDatabase(ctx context.Context, l net.Listener, open opener) error {
	s.logAddress("listening; not ready before Cassandra can be used", l)
	watch := newSchemaWatch(s.registry, s.log)
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The database stays open until the last request is answered, which is after ctx has ended.
	defer s.inBackground(context.WithoutCancel(ctx), panics.Database, func(ctx context.Context) { stop(s.useDatabase(ctx, l, open, watch)) })()
	if err := s.serve(serving, l); err != nil || ctx.Err() != nil {
		return err
	}
	return context.Cause(serving)
}

// useDatabase opens the database, waits for its schema, lets requests in, and does the background work until ctx ends. It
// returns an error earlier if the database can never be used.
func (s *service) useDatabase(ctx context.Context, l net.Listener, open opener, watch *schemaWatch) error {
	log := waitLog{log: s.log}
	var d *database
	if err := s.retry(ctx, &log, func() (err error) {
		d, err = s.openUnlessDone(ctx, open)
		return err
	}); err != nil {
		return err
	}
	defer d.close()
	if err := s.retry(ctx, &log, func() error { return watch.requireUsable(ctx, d.checkSchema) }); err != nil {
		return err
	}
	var rows passwords.Rows
	if d.passwords != nil {
		rows = d.passwords()
	}
	users, err := s.openCollections(d.table, rows)
	if err != nil {
		return err
	}
	if users != nil {
		defer users.Close() // before the database
	}
	s.logAddress("serving", l)
	for _, loop := range d.background {
		defer s.inBackground(ctx, loop.place, loop.run)()
	}
	s.panics.Loop(ctx, panics.Schema, func(ctx context.Context) { watch.run(ctx, d.checkSchema) })
	return ctx.Err()
}

// retry calls try until it succeeds, until ctx ends, or until another attempt cannot help. Between attempts, operations of the
// backend fail with the error of try.
func (s *service) retry(ctx context.Context, log *waitLog, try func() error) error {
	for pause := firstPause; ; pause = min(pause*2, maxPause) {
		err := try()
		if err == nil || errors.Is(err, cassandra.ErrCannotLogIn) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.backend.setNotReady(err)
		log.record(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// openUnlessDone calls open. It returns when ctx ends, even if open has not returned, because the driver cannot stop an attempt
// to connect. If open returns a database after that, openUnlessDone closes it. Errors wrap store.ErrNotConnected,
// cassandra.ErrCannotLogIn or ctx.Err().
func (s *service) openUnlessDone(ctx context.Context, open opener) (*database, error) {
	type result struct {
		d   *database
		err error
	}
	results := make(chan result)
	go func() {
		defer s.panics.Recover(panics.Database, nil)
		d, err := s.tryOpen(ctx, open)
		select {
		case results <- result{d, err}:
		case <-ctx.Done():
			if d != nil {
				d.close()
			}
		}
	}()
	select {
	case r := <-results:
		if r.err == nil || errors.Is(r.err, cassandra.ErrCannotLogIn) {
			return r.d, r.err
		}
		return nil, fmt.Errorf("%w: %w", store.ErrNotConnected, r.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tryOpen calls open. If open panics, the error is panics.ErrPanic.
func (s *service) tryOpen(ctx context.Context, open opener) (d *database, err error) {
	defer s.panics.Recover(panics.Database, &err)
	return open(ctx)
}

// waitLog logs why the service waits for the database. It logs each reason when it is new, and again after repeatAfter
// attempts.
type waitLog struct {
	log      *slog.Logger
	attempts int
	logged   map[string]int // by reason, the attempt at which it was logged last
}

const (
	repeatAfter = 30  // attempts, about 5 minutes
	maxReasons  = 100 // how many reasons are remembered
)

// localPort matches the part of an error of package net that differs at each attempt.
var localPort = regexp.MustCompile(`:\d+->`)

func (w *waitLog) record(err error) {
	w.attempts++
	reason := localPort.ReplaceAllString(err.Error(), "->")
	if at, known := w.logged[reason]; known && w.attempts < at+repeatAfter {
		return
	}
	if w.logged == nil || len(w.logged) == maxReasons {
		w.logged = make(map[string]int)
	}
	w.logged[reason] = w.attempts
	w.log.Warn("Cassandra cannot be used yet; trying again", "error", err.Error())
}
