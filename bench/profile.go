package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"userinfo/bench/result"
	"userinfo/internal/fleet"
)

// profileSource is what a program that is profiled has beside its own source.
//
//go:embed profile.go.txt
var profileSource []byte

// profiled is the one difference between the program that is profiled and the one that is shipped, which nobody can profile.
var profiled = fleet.Edit{
	File: "cmd/userinfo/main.go",
	Old:  "code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)",
	New:  "finish := beginProfile()\n\tcode := run(ctx, os.Args[1:], os.Stdout, os.Stderr)\n\tfinish()",
}

// profile makes the profile that `go build` optimizes the program by, or another to look at.
func (b *bench) profile(args []string) error {
	f, o := b.flags("profile")
	into := f.String("profile", "", "`FILE` of the profile, as pprof reads it; cmd/userinfo/default.pgo is what go build optimizes by. Empty: cpu.pprof in -out")
	names, args := leading(args)
	if err := o.parse(f, args); err != nil {
		return err
	}
	if o.against != "" || len(o.stores) > 0 || o.memory {
		return fmt.Errorf("what is profiled is this service on Cassandra: leave out -against, -url and -memory")
	}
	if *into == "" {
		*into = filepath.Join(o.dir, "cpu.pprof")
	}
	if len(names) == 0 {
		names = []string{result.Get, result.GetToken, result.DesignTarget, result.FreshToken}
	}
	dir, err := os.MkdirTemp("", "userinfo-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, profile := filepath.Join(dir, "userinfo"), filepath.Join(dir, "cpu")
	if err := buildProfiled(b.ctx, dir, program); err != nil {
		return err
	}
	o.against = result.UserInfo
	o.program, o.env = program, []string{"USERINFO_PROFILE=" + profile}
	if err := b.groups(o, alone(names), func(*session) error { return nil }); err != nil {
		return err
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return fmt.Errorf("the program has left no profile: %w", err)
	}
	b.say("profile: %s", *into)
	return os.WriteFile(*into, text, 0o644)
}

func buildProfiled(ctx context.Context, dir, program string) error {
	overlay, err := fleet.WriteOverlay(ctx, dir, []fleet.Edit{profiled}, map[string][]byte{"cmd/userinfo/profile.go": profileSource})
	if err != nil {
		return err
	}
	return fleet.Build(ctx, program, overlay, "-trimpath") // a profile has the paths of sources
}
