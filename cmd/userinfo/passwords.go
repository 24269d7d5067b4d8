package main

import (
	"context"
	"crypto/rand"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/passwords"
	"userinfo/store"
	"userinfo/store/seal"
)

// failureStep is the unit of the time of answers to wrong passwords. It is longer than most hashes take.
const failureStep = 500 * time.Millisecond

// newUsers returns the passwords of the configuration on rows, or nil if the service keeps none. The caller must close them.
func (s *service) newUsers(rows passwords.Rows) (*passwords.Users, error) {
	if s.config.Passwords == nil || rows == nil {
		return nil, nil
	}
	return passwords.NewUsers(rows, s.config.Passwords.UsersConfig(), passwords.Options{
		Now: s.now, Random: rand.Reader, Log: s.log, Metrics: s.passwordMetrics, Pool: s.hashPool,
		Keys: func() *seal.Keys { return s.reloader.Current().PasswordKeys }, SealMetrics: s.sealMetrics,
		Confirmations: s.confirmations, FailureStep: failureStep, Panics: s.panics,
	})
}

// apiPasswords returns the passwords of the API, or nil if the service keeps none. Before openCollections is called, their
// operations fail.
func (s *service) apiPasswords() passwords.Store {
	if s.config.Passwords == nil {
		return nil
	}
	return backendPasswords{s.backend}
}

// newHashPool returns the pool of the configuration, or nil if the service keeps no passwords.
func (s *service) newHashPool(p *panics.Recorder) *passwords.Pool {
	if s.config.Passwords == nil {
		return nil
	}
	s.passwordMetrics = passwords.NewMetrics(s.registry)
	return passwords.NewPool(s.config.Passwords.Workers, s.passwordMetrics, p)
}

// hashMemory returns the largest memory of all hashes that are computed at the same time, in bytes.
func (s *service) hashMemory() int64 {
	if p := s.config.Passwords; p != nil {
		return int64(p.Workers) * int64(p.MaxHashMemory) << 10
	}
	return 0
}

// backendPasswords are the passwords of a backend. They exist before the backend can use the database.
type backendPasswords struct{ backend *backend }

var _ passwords.Store = backendPasswords{}

// users returns the passwords, or an error that says why they cannot be used.
func (b backendPasswords) users() (*passwords.Users, error) {
	s := b.backend.state.Load()
	if s.notReady != nil {
		return nil, s.notReady
	}
	if s.users == nil {
		return nil, store.ErrNotReady
	}
	return s.users, nil
}

// Verify implements passwords.Store.
func (b backendPasswords) Verify(ctx context.Context, caller access.Caller, user access.Key, current passwords.Guess) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.Verify(ctx, caller, user, current)
}

// Change implements passwords.Store.
func (b backendPasswords) Change(ctx context.Context, caller access.Caller, user access.Key, current passwords.Guess, replacement passwords.Secret) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.Change(ctx, caller, user, current, replacement)
}

// ChangeWithToken implements passwords.Store.
func (b backendPasswords) ChangeWithToken(ctx context.Context, caller access.Caller, user access.Key, token passwords.Guess, replacement passwords.Secret) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.ChangeWithToken(ctx, caller, user, token, replacement)
}

// NewResetToken implements passwords.Store.
func (b backendPasswords) NewResetToken(ctx context.Context, caller access.Caller, user access.Key) (passwords.Secret, time.Duration, error) {
	u, err := b.users()
	if err != nil {
		return "", 0, err
	}
	return u.NewResetToken(ctx, caller, user)
}

// Create implements passwords.Store.
func (b backendPasswords) Create(ctx context.Context, caller access.Caller, user access.Key, password passwords.Secret) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.Create(ctx, caller, user, password)
}

// Import implements passwords.Store.
func (b backendPasswords) Import(ctx context.Context, caller access.Caller, user access.Key, hash passwords.Secret) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.Import(ctx, caller, user, hash)
}

// Delete implements passwords.Store.
func (b backendPasswords) Delete(ctx context.Context, caller access.Caller, user access.Key) error {
	u, err := b.users()
	if err != nil {
		return err
	}
	return u.Delete(ctx, caller, user)
}

// logHashMemory logs the memory for hashes, and warns if it does not fit into the memory limit together with the values in
// flight.
func (s *service) logHashMemory(limit int64) {
	hashes := s.hashMemory()
	if hashes == 0 {
		return
	}
	s.log.Info("memory for password hashes, in bytes", "limit", hashes)
	if limit > 0 && hashes > limit/2 {
		s.log.Warn("password hashes may take more than half of the memory limit: give the service more memory, or lower passwords.workers or passwords.max_hash_memory",
			"hashes", hashes, "limit", limit)
	}
}
