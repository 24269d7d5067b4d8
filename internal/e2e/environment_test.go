//go:build integration

// Package e2e tests the built program: real processes in both datacentres of a real Cassandra cluster, with real faults
// and real clients.
package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// environment is a cluster of two datacentres and a fleet on it. The tests share one and run one after another.
type environment struct {
	cluster *testcluster.Cluster
	fleet   *fleet.Fleet
	dir     string
	program string
}

var shared *environment

// passwordClient is the client of the fleet that may do everything with passwords, except import.
const passwordClient = "passwords"

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
		shared, err = newEnvironment(ctx, dir)
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

func newEnvironment(ctx context.Context, dir string) (env *environment, err error) {
	env = &environment{dir: dir, program: filepath.Join(dir, "userinfo")}
	if err := fleet.Build(ctx, env.program, ""); err != nil {
		return nil, err
	}
	if env.cluster, err = testcluster.Start(ctx, testcluster.Options{Authorizer: true}); err != nil {
		return nil, err
	}
	if env.fleet, err = fleet.New(ctx, dir, env.program, env.cluster, fleet.WithPasswords(passwordClient)); err != nil {
		_ = env.cluster.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return env, nil
}

// start starts an instance with these contact points and does not wait until it serves. It stops at the end of the test.
func (env *environment) start(t *testing.T, dc string, hosts ...string) *fleet.Instance {
	t.Helper()
	i, err := env.fleet.LaunchInstance(fleet.InstanceConfig{Name: dc + "-" + rand.Text(), Datacentre: dc, Hosts: hosts})
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

// serve starts an instance and waits until it serves.
func (env *environment) serve(t *testing.T, dc string) *fleet.Instance {
	t.Helper()
	i := env.start(t, dc)
	if err := i.WaitServing(context.Background()); err != nil {
		t.Fatal(err)
	}
	return i
}

// waitAllUp waits until every node sees every other node.
func (env *environment) waitAllUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := env.cluster.WaitAllUp(ctx); err != nil {
		t.Fatal(err)
	}
}

// alter runs a statement as a superuser in dc1. It may be called at the end of a test.
func (env *environment) alter(t *testing.T, statement string) {
	t.Helper()
	if _, err := env.cluster.CQL(context.Background(), env.cluster.Nodes("dc1")[0], strings.TrimSuffix(statement, ";")); err != nil {
		t.Fatal(err)
	}
}
