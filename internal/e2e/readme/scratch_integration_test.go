//go:build integration

package readme

import (
	"os"
	"path/filepath"
	"testing"

	"userinfo/internal/e2e/devserver"
)

// TestScratch_ExampleConfigurationIsAccepted checks with the complete example that every kind of file can be made.
func TestScratch_ExampleConfigurationIsAccepted(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(projectRoot, "deploy", "userinfo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newScratch(t.TempDir(), devserver.Build(t))
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, s, block{file: "deploy/userinfo.yaml", line: 1, text: string(text)})
}
