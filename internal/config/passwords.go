package config

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"userinfo/access"
	"userinfo/api"
	"userinfo/internal/field"
	"userinfo/passwords"
	"userinfo/passwords/scheme"
)

// Passwords turns on the passwords of users.
type Passwords struct {
	// Seal names the key files that seal the passwords. They must not be those of the collections.
	Seal Seal `yaml:"seal"`
	// Argon2id are the parameters of new hashes.
	Argon2id Argon2id `yaml:"argon2id"`
	// Workers is how many hashes are computed at the same time; default half of the CPUs, at least 1. More requests wait for a
	// moment, and then are answered 503. The memory for hashes is Workers times MaxHashMemory.
	Workers int `yaml:"workers"`
	// MaxHashMemory is the largest memory of one hash in KiB, so that an imported hash cannot use more; default
	// Argon2id.Memory.
	MaxHashMemory int `yaml:"max_hash_memory"`
	// MinLength is the smallest length of a new password in characters; default 8.
	MinLength int `yaml:"min_length"`
	// ResetTTL is how long a reset token lives; whole seconds from 1m to 168h, default 24h.
	ResetTTL time.Duration `yaml:"reset_ttl"`
	// GuessesPerMinute is how many wrong passwords each client may try in a minute, not counting users in networks from which
	// their password was right before; default 600.
	GuessesPerMinute int `yaml:"guesses_per_minute"`
}

// Argon2id are the parameters of new hashes.
type Argon2id struct {
	// Memory of one hash in KiB; default 65536.
	Memory int `yaml:"memory"`
	// Time is the number of passes over the memory; default 3.
	Time int `yaml:"time"`
	// Threads is the number of threads that compute one hash; default 1.
	Threads int `yaml:"threads"`
}

func (p *Passwords) applyDefaults() {
	setDefault(&p.Argon2id.Memory, 64<<10)
	setDefault(&p.Argon2id.Time, 3)
	setDefault(&p.Argon2id.Threads, 1)
	setDefault(&p.MaxHashMemory, p.Argon2id.Memory)
	setDefault(&p.Workers, max(1, runtime.NumCPU()/2))
	setDefault(&p.MinLength, 8)
	setDefault(&p.ResetTTL, 24*time.Hour)
	setDefault(&p.GuessesPerMinute, 600)
}

// UsersConfig returns the settings that package passwords needs.
func (p *Passwords) UsersConfig() passwords.Config {
	return passwords.Config{
		Argon2id: p.Argon2id.scheme(), MemoryKiB: uint32(p.MaxHashMemory), MinLength: p.MinLength,
		ResetTTL: p.ResetTTL, GuessesPerMinute: p.GuessesPerMinute,
	}
}

func (a Argon2id) scheme() scheme.Argon2id {
	return scheme.Argon2id{MemoryKiB: uint32(a.Memory), Time: uint32(a.Time), Threads: uint8(a.Threads)}
}

// validatePasswords checks the settings of passwords, and that no collection takes their name or path. It fails closed:
// passwords need keys, and keys that are not those of the collections.
func (c *Config) validatePasswords() error {
	p := c.Passwords
	if p == nil {
		return nil
	}
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, field.Errorf("passwords."+name, format, args...))
	}
	for i, k := range c.Collections {
		at := fmt.Sprintf("collections[%d]", i)
		if k.Name == access.Passwords {
			errs = append(errs, field.Errorf(at+".name", "%s is the name of the passwords; choose another name", access.Passwords))
		}
		if k.Path == api.PasswordsPath || strings.HasPrefix(k.Path, api.PasswordsPath+"/") || strings.HasPrefix(api.PasswordsPath, k.Path+"/") {
			errs = append(errs, field.Errorf(at+".path", "%s is the path of the passwords; choose another path", api.PasswordsPath))
		}
	}
	errs = append(errs, p.validateSeal(c.Seal), p.Argon2id.validate())
	if p.Workers < 1 || p.Workers > 1024 {
		bad("workers", "must be from 1 to 1024")
	}
	if p.MaxHashMemory < p.Argon2id.Memory || p.MaxHashMemory > 1<<20 {
		bad("max_hash_memory", "must be from argon2id.memory (%d) to %d KiB", p.Argon2id.Memory, 1<<20)
	}
	if p.MinLength < 1 || p.MinLength > 128 {
		bad("min_length", "must be from 1 to 128 characters")
	}
	if p.ResetTTL < time.Minute || p.ResetTTL > 168*time.Hour || p.ResetTTL%time.Second != 0 {
		bad("reset_ttl", "must be whole seconds, from 1m to 168h")
	}
	if p.GuessesPerMinute < 1 || p.GuessesPerMinute > 1_000_000 {
		bad("guesses_per_minute", "must be from 1 to 1000000")
	}
	return errors.Join(errs...)
}

// validateSeal checks that all keys are named, and that none is a key of the collections.
func (p *Passwords) validateSeal(collections Seal) error {
	var errs []error
	if p.Seal.IndexKey == "" {
		errs = append(errs, field.Errorf("passwords.seal.index_key", "missing: name a file that `userinfo key new index` has made"))
	}
	if len(p.Seal.Keys) == 0 {
		errs = append(errs, field.Errorf("passwords.seal.keys", "missing: list files that `userinfo key new seal` has made; the first encrypts"))
	}
	used := make(map[string]bool)
	for _, name := range collections.files() {
		used[name] = name != ""
	}
	if used[p.Seal.IndexKey] {
		errs = append(errs, field.Errorf("passwords.seal.index_key", "is a key of the collections; make a key for passwords alone"))
	}
	for i, name := range p.Seal.Keys {
		if used[name] {
			errs = append(errs, field.Errorf(fmt.Sprintf("passwords.seal.keys[%d]", i), "is a key of the collections; make a key for passwords alone"))
		}
	}
	return errors.Join(errs...)
}

func (a Argon2id) validate() error {
	const most = 1 << 20
	if a.Memory < 1 || a.Memory > most || a.Time < 1 || a.Time > most || a.Threads < 1 || a.Threads > 255 {
		return field.Errorf("passwords.argon2id", "memory and time must be from 1 to %d, threads from 1 to 255", most)
	}
	if err := a.scheme().Validate(); err != nil {
		return &field.Error{Path: "passwords.argon2id", Err: err}
	}
	return nil
}
