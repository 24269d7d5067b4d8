//go:build integration

package readme

import (
	"os"
	"path/filepath"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/scratch"
)

// TestScratch_ExampleConfigurationsAreAccepted checks the examples in deploy. The first names every kind of file, with
// absolute paths; the second has relative paths.
func TestScratch_ExampleConfigurationsAreAccepted(t *testing.T) {
	program := devserver.Build(t)
	for _, name := range []string{"userinfo.yaml", "minimal.yaml"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(projectRoot, "deploy", name))
			if err != nil {
				t.Fatal(err)
			}
			s, err := scratch.New(t.TempDir(), program)
			if err != nil {
				t.Fatal(err)
			}
			checkConfig(t, s, block{file: name, line: 1, text: string(text)})
		})
	}
}
