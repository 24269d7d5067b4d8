//go:build integration

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const projectRoot = "../../.."

// Versions of two releases. An empty version is the one of the source tree.
const (
	oldVersion = "0.0.0" // older than every version of the source tree
	newVersion = ""
)

// builds contains the directories of releases that were built, by version. TestMain removes them.
var builds struct {
	sync.Mutex
	dir  string
	dist map[string]string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "userinfo-release-")
	if err != nil {
		panic(err)
	}
	builds.dir, builds.dist = dir, make(map[string]string)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build returns the directory of a release of this version. It builds it for the first test that asks.
func build(t *testing.T, version string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if dist := builds.dist[version]; dist != "" {
		return dist
	}
	dist := filepath.Join(builds.dir, "release-"+version)
	cmd := exec.Command("make", "-s", "release", "DIST="+dist)
	cmd.Dir = projectRoot
	cmd.Env = append(os.Environ(), "RELEASE_VERSION="+version)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, out)
	}
	builds.dist[version] = dist
	return dist
}

// only returns the only file of a directory that matches a pattern.
func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s matches %v (%v), want one file", pattern, files, err)
	}
	return files[0]
}

// program returns the program of a release.
func program(t *testing.T, dist string) string {
	return only(t, dist, "userinfo-*-linux-*[0-9]")
}
