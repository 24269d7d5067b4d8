//go:build integration

package testcluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

func TestARunWhoseProcessIsGoneIsRemovedAndALivingOneIsNot(t *testing.T) {
	if err := setUpLibrary(); err != nil {
		t.Fatal(err)
	}
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dead, living := mustRun(t, docker), mustRun(t, docker)
	if dead.subnet == living.subnet {
		t.Errorf("two runs at once have the same network %s", dead.subnet)
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does when a process ends
		t.Fatal(err)
	}
	if err := removeLeftOvers(t.Context(), docker, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		run  *run
		left bool
	}{{dead, false}, {living, true}} {
		_, err := os.Stat(want.run.dir)
		networks, listErr := docker.NetworkList(t.Context(), client.NetworkListOptions{Filters: labelled(want.run.dir)})
		if listErr != nil {
			t.Fatal(listErr)
		}
		if got := !errors.Is(err, os.ErrNotExist); got != want.left {
			t.Errorf("directory left: %v, want %v", got, want.left)
		}
		if got := len(networks.Items) == 1; got != want.left {
			t.Errorf("network left: %v, want %v", got, want.left)
		}
	}
}

func mustRun(t *testing.T, docker *testcontainers.DockerClient) *run {
	t.Helper()
	r, err := newRun(t.Context(), docker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeRun(context.WithoutCancel(t.Context()), docker, r.dir); err != nil {
			t.Error(err)
		}
	})
	return r
}
