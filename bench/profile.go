package main

import (
	"context"
	_ "embed"
	"fmt"
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
	into := f.String("profile", "", "`FILE` of the profile, in pprof's format. Default: cpu.pprof in -out")
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
		text, err := os.ReadFile(profile)
		for attempt := 0; err != nil; attempt++ {
			if attempt == 100 {
				return fmt.Errorf("the service has not written its profile: %w", err)
			}
			time.Sleep(100 * time.Millisecond)
			text, err = os.ReadFile(profile)
		}
		b.say("profile: %s", *into)
		return os.WriteFile(*into, text, 0o644)
	})
}

// buildProfiled builds the service with profileSource.
func buildProfiled(ctx context.Context, dir, program string, flags ...string) error {
	overlay, err := fleet.WriteOverlay(ctx, dir, nil, map[string][]byte{"cmd/userinfo/profile.go": profileSource})
	if err != nil {
		return err
	}
	return fleet.Build(ctx, program, overlay, flags...)
}
