package mediawiki

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Version is a long-term release of MediaWiki.
type Version string

// Versions are the releases that are tested: the one in Debian 12, and the current one.
var Versions = []Version{"1.39", "1.43"}

// Install makes sure that the version is in .build and returns its directory, which tests must not change. The calling test
// must be in internal/e2e or directly below.
func (v Version) Install(t *testing.T) (root string) {
	t.Helper()
	scripts, err := filepath.Glob("../testenv/mediawiki.sh")
	if err != nil || len(scripts) == 0 {
		scripts = []string{"../../testenv/mediawiki.sh"}
	}
	var messages strings.Builder
	cmd := exec.Command(scripts[0], string(v))
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("installing MediaWiki %s: %v\n%s", v, err, messages.String())
	}
	return strings.TrimSpace(string(out))
}
