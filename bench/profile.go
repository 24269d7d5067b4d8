package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/fleet"
)

// profileSource is a source file that only the profiled executable has. The shipped one cannot be profiled.
//
//go:embed profile.go.txt
var profileSource []byte

// profile makes a CPU profile of the service.
func (b *bench) profile(args []string) error {
	f, o := b.flags("profile")
	into := f.String("profile", "", "`FILE` of the profile, in pprof's format; go build optimizes by cmd/userinfo/default.pgo. Default: cpu.pprof in -out")
	names, args := splitNames(args)
	if err := o.parse(f, args, "against", "url", "memory"); err != nil {
		return err
	}
	if *into == "" {
		*into = filepath.Join(o.dir, "cpu.pprof")
	}
	if len(names) == 0 {
		names = []string{result.Get, "get/token", result.DesignTarget, "fresh/token"}
	}
	dir, err := os.MkdirTemp("", "userinfo-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Paths are trimmed, because a profile names source files.
	program, profile := filepath.Join(dir, "userinfo"), filepath.Join(dir, "cpu")
	if err := buildProfiled(b.ctx, dir, program, "-trimpath"); err != nil {
		return err
	}
	o.against = fmt.Sprintf("%s:BINARY=%s+USERINFO_PROFILE=%s", result.UserInfo, program, profile)
	return b.measureGroups(o, separately(names), func(m *measuring) error {
		if err := syscall.Kill(m.targets[o.against].Processes[0].PID, syscall.SIGUSR2); err != nil {
			return err
		}
		text, err := awaitFile(b.ctx, profile)
		if err != nil {
			return fmt.Errorf("the service has not written its profile: %w", err)
		}
		b.say("profile: %s", *into)
		return os.WriteFile(*into, text, 0o644)
	})
}

// awaitFile waits until a file exists, at most ten seconds, and reads it.
func awaitFile(ctx context.Context, file string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		text, err := os.ReadFile(file)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// buildProfiled builds the service with profileSource.
func buildProfiled(ctx context.Context, dir, program string, flags ...string) error {
	overlay, err := fleet.WriteOverlay(ctx, dir, nil, map[string][]byte{"cmd/userinfo/profile.go": profileSource})
	if err != nil {
		return err
	}
	return fleet.Build(ctx, program, overlay, flags...)
}
