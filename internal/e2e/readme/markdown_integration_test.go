//go:build integration

package readme

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/scratch"
)

const projectRoot = "../../.."

func TestMarkdown_CommandsAndConfigurationsWork(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(projectRoot, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := devserver.Build(t)
	for _, file := range append([]string{filepath.Join(projectRoot, "README.md")}, files...) {
		t.Run(filepath.Base(file), func(t *testing.T) { testFile(t, file, program) })
	}
}

// testFile runs the blocks of one file in their order. It starts a server for the first block that needs one.
func testFile(t *testing.T, file, program string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parseBlocks(filepath.Base(file), string(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := scratch.New(t.TempDir(), program)
	if err != nil {
		t.Fatal(err)
	}
	var server *devserver.Server
	for _, b := range blocks {
		switch {
		case b.language == "sh" && b.marker == "run":
			t.Run(fmt.Sprintf("run line %d", b.line), func(t *testing.T) { runScript(t, s, b) })
		case b.language == "yaml" && b.marker == "check-config":
			t.Run(fmt.Sprintf("check-config line %d", b.line), func(t *testing.T) { checkConfig(t, s, b) })
		case b.marker != "":
			t.Errorf("%s:%d: a block of language %q cannot have the marker %q", b.file, b.line, b.language, b.marker)
		case b.language == "sh" && usesUI.MatchString(b.text):
			if server == nil {
				server = devserver.Start(t)
			}
			runCommands(t, server, b)
		}
	}
}

func runScript(t *testing.T, s *scratch.Dir, b block) {
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", b.text)
	cmd.Dir = s.Path
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(s.Program)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: %v\n%s", b.file, b.line, err, out)
	}
}

func checkConfig(t *testing.T, s *scratch.Dir, b block) {
	if err := s.WriteConfig(b.text); err != nil {
		t.Fatalf("%s:%d: %v", b.file, b.line, err)
	}
	cmd := exec.CommandContext(t.Context(), s.Program, "check-config", "--config", "userinfo.yaml")
	cmd.Dir = s.Path
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: %v\n%s", b.file, b.line, err, out)
	}
}

var problemType = regexp.MustCompile(`"type"\s*:\s*"urn:userinfo:problem:([a-z-]+)"`)

// runCommands runs the ui commands of a block against the server. The port in the file is replaced by the server's.
func runCommands(t *testing.T, server *devserver.Server, b block) {
	commands, err := b.commands()
	if err != nil {
		t.Error(err)
		return
	}
	for _, c := range commands {
		t.Run(fmt.Sprintf("line %d", c.line), func(t *testing.T) {
			statuses := filepath.Join(t.TempDir(), "statuses")
			// curl appends a status after each response.
			prelude := fmt.Sprintf(`ui() { curl -sS --cacert %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key -w '%%{stderr}status %%{http_code}\n' "$@" 2>>%[2]s; }
B=%[3]s
`, filepath.Dir(server.CAFile), statuses, server.URL)
			script := strings.ReplaceAll(prelude+c.setup+c.text, "https://127.0.0.1:8443", server.Origin())
			out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
			said, readErr := os.ReadFile(statuses)
			if errors.Is(readErr, fs.ErrNotExist) {
				t.Fatalf("%s:%d: ui was not called: %s\n%s", b.file, c.line, c.text, out)
			}
			got := lastStatus(string(said))
			if err != nil || (c.status == "" && !strings.HasPrefix(got, "2")) || (c.status != "" && got != c.status) {
				t.Fatalf("%s:%d: status %q (%v), want %q: %s\n%s%s", b.file, c.line, got, err, c.status, c.text, out, said)
			}
			if m := problemType.FindSubmatch(out); c.problem != "" && (m == nil || string(m[1]) != c.problem) {
				t.Errorf("%s:%d: want the problem %s: %s\n%s", b.file, c.line, c.problem, c.text, out)
			}
		})
	}
}

// lastStatus returns the status of the last response.
func lastStatus(said string) string {
	all := regexp.MustCompile(`(?m)^status (\d{3})$`).FindAllStringSubmatch(said, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}
