//go:build integration

// Package e2e tests the built program as its users have it: real processes, one in each datacentre of a real
// Cassandra cluster, real faults, real clients.
package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// world is a cluster of two datacentres and a fleet on it. Tests share it, one after another.
type world struct {
	cluster *testcluster.Cluster
	fleet   *fleet.Fleet
	dir     string
	program string
}

var shared *world

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "userinfo-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		shared, err = newWorld(ctx, dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() {
			if err := shared.cluster.Stop(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		return m.Run()
	}())
}

func newWorld(ctx context.Context, dir string) (w *world, err error) {
	w = &world{dir: dir, program: filepath.Join(dir, "userinfo")}
	if err := fleet.Build(ctx, w.program, ""); err != nil {
		return nil, err
	}
	if w.cluster, err = testcluster.Start(ctx, testcluster.Options{}); err != nil {
		return nil, err
	}
	if w.fleet, err = fleet.New(ctx, dir, w.program, w.cluster); err != nil {
		_ = w.cluster.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return w, nil
}

// start starts an instance with these contact points, and stops it when the test is over.
func (w *world) start(t *testing.T, dc string, hosts ...string) *fleet.Instance {
	t.Helper()
	i, err := w.fleet.LaunchInstance(fleet.InstanceConfig{Name: dc + "-" + rand.Text(), Datacentre: dc, Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// serve starts an instance and waits until it listens.
func (w *world) serve(t *testing.T, dc string) *fleet.Instance {
	t.Helper()
	i := w.start(t, dc)
	if err := i.WaitServing(context.Background()); err != nil {
		t.Fatal(err)
	}
	return i
}

// settle waits until every node sees every other again.
func (w *world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := w.cluster.WaitAllUp(ctx); err != nil {
		t.Fatal(err)
	}
}
