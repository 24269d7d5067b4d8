package target

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"userinfo/bench/result"
	"userinfo/internal/testcluster"
)

// need is a program without which some targets cannot be.
type need struct {
	program, remedy string
	targets         []string
}

var needs = []need{
	{"go", "install Go 1.26 or later (go.dev/dl; Debian's package golang-go is older)", []string{result.UserInfo, result.Memory, result.Sidecar}},
	{"redis-server", "apt-get install redis-server", []string{result.Redis}},
	{"haproxy", "apt-get install haproxy", []string{result.Sidecar}},
}

// onCluster are the targets behind which there is Cassandra.
var onCluster = []string{result.UserInfo, result.Sidecar, result.Driver}

// Check tells all that this machine lacks for the targets of these names, and how to get it.
func Check(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		if !slices.Contains(result.Targets, name) {
			errs = append(errs, fmt.Errorf("there is no target %q: name one of %v, or give a URL", name, result.Targets))
		}
	}
	wanted := func(targets []string) string {
		i := slices.IndexFunc(names, func(name string) bool { return slices.Contains(targets, name) })
		if i < 0 {
			return ""
		}
		return names[i]
	}
	for _, n := range needs {
		if name := wanted(n.targets); name != "" {
			if _, err := exec.LookPath(n.program); err != nil {
				errs = append(errs, fmt.Errorf("target %s needs %s: %s", name, n.program, n.remedy))
			}
		}
	}
	if name := wanted(onCluster); name != "" {
		if err := testcluster.Check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("target %s needs a Cassandra cluster (apt-get install docker.io; make environment does all of it): %w", name, err))
		}
	}
	return errors.Join(errs...)
}
