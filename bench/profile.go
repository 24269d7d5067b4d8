package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"userinfo/bench/result"
	"userinfo/bench/target"
	"userinfo/internal/fleet"
)

// profileSource is what a program that is profiled has beside its own source.
//
//go:embed profile.go.txt
var profileSource []byte

// The program has no way to profile it, so that nobody can use it: the one that is profiled is built with this edit.
const (
	profiledFile = "cmd/userinfo/main.go"
	profiledCall = "code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)"
	profiling    = "finish := beginProfile()\n\t" + profiledCall + "\n\tfinish()"
)

// profile makes the profile that `go build` optimizes the program by, or another to look at.
func (b *bench) profile(args []string) error {
	f, o := b.flags("profile")
	into := f.String("profile", "cmd/userinfo/default.pgo", "`FILE` of the profile, as pprof reads it; the default is what go build takes")
	names, args := leading(args)
	if err := o.parse(f, args); err != nil {
		return err
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
	err = b.measure(o, []string{result.UserInfo}, func(s *session) error {
		service := target.Service{Name: result.UserInfo, Program: program, Env: []string{"USERINFO_PROFILE=" + profile}}
		t, err := s.lab.UserInfo(s.ctx, service)
		if err != nil {
			return err
		}
		s.targets[result.UserInfo] = t
		for _, name := range names {
			if err := s.groupNamed([]string{name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
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
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("profiling builds the program from its source; run it in its module: %w", err)
	}
	root := string(bytes.TrimSpace(out))
	text, err := os.ReadFile(filepath.Join(root, profiledFile))
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(profiledCall)); n != 1 {
		return fmt.Errorf("%s has %q %d times, not once: bring the benchmark's edit up to date", profiledFile, profiledCall, n)
	}
	overlay := filepath.Join(dir, "overlay.json")
	edited, added := filepath.Join(dir, "main.go"), filepath.Join(dir, "profile.go")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, profiledFile):              edited,
		filepath.Join(root, "cmd/userinfo/profile.go"): added,
	}})
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		edited: bytes.Replace(text, []byte(profiledCall), []byte(profiling), 1), added: profileSource, overlay: replace,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return fleet.Build(ctx, program, overlay)
}
