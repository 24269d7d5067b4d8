//go:build integration

// Package readme pastes the commands of README.md's table of problems into a shell, as its readers do.
package readme

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"userinfo/internal/e2e/devserver"
)

// row is one of the table: | status | `type` | text with `commands` in it |
var row = regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `([a-z-]+)` \\| (.*) \\|$")

// command is one that uses the shell function ui.
var command = regexp.MustCompile("`([^`]*\\bui -i [^`]*)`")

func TestEachCommandInTheReadmeGivesTheProblemItIsListedWith(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := devserver.Start(t)
	keys := filepath.Dir(s.CAFile)
	prelude := fmt.Sprintf("ui() { curl -sS --cacert %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key \"$@\"; }\nB=%[2]s\n", keys, s.URL)
	commands := 0
	for _, r := range row.FindAllStringSubmatch(string(text), -1) {
		for _, c := range command.FindAllStringSubmatch(r[3], -1) {
			commands++
			t.Run(c[1], func(t *testing.T) {
				line := strings.ReplaceAll(c[1], `\|`, "|") // as the table has to write it
				out, err := exec.CommandContext(t.Context(), "sh", "-c", prelude+line).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				check(t, string(out), r[1], "urn:userinfo:problem:"+r[2])
			})
		}
	}
	if commands < 10 {
		t.Errorf("the table has only %d commands that this test can find", commands)
	}
}

// check reads what curl -i printed.
func check(t *testing.T, out, status, kind string) {
	t.Helper()
	out = strings.ReplaceAll(out, "\r", "")
	at := strings.LastIndex(out, "HTTP/") // curl shows a 100 Continue, too
	if at < 0 || !strings.HasPrefix(strings.SplitN(out[at:], " ", 2)[1], status) {
		t.Fatalf("want status %s, got\n%s", status, out)
	}
	_, body, _ := strings.Cut(out[at:], "\n\n")
	var problem struct{ Type, Title, Detail, Instance string }
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if problem.Type != kind || problem.Title == "" || problem.Detail == "" || !strings.HasPrefix(problem.Instance, "urn:uuid:") {
		t.Errorf("want a problem of type %s, got %+v", kind, problem)
	}
}
