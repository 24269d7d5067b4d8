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

func TestRun_IsRemovedOnlyIfItsProcessHasEnded(t *testing.T) {
	if err := configureTestcontainers(); err != nil {
		t.Fatal(err)
	}
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	abandoned, active := mustRun(t, docker), mustRun(t, docker)
	if abandoned.subnet == active.subnet {
		t.Errorf("two runs have the same network %s", abandoned.subnet)
	}
	if err := abandoned.lock.Close(); err != nil { // the kernel does this when a process ends
		t.Fatal(err)
	}
	if err := removeAbandonedRuns(t.Context(), docker, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		run    *run
		exists bool
	}{{abandoned, false}, {active, true}} {
		_, err := os.Stat(want.run.dir)
		networks, listErr := docker.NetworkList(t.Context(), client.NetworkListOptions{Filters: labelled(want.run.dir)})
		if listErr != nil {
			t.Fatal(listErr)
		}
		if got := !errors.Is(err, os.ErrNotExist); got != want.exists {
			t.Errorf("directory exists: %v, want %v", got, want.exists)
		}
		if got := len(networks.Items) == 1; got != want.exists {
			t.Errorf("network exists: %v, want %v", got, want.exists)
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
