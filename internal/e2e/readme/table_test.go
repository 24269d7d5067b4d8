//go:build integration

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

// tableRow is one row of README.md's table of problems: | status | `type` | text with `commands` in it |
var tableRow = regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `([a-z-]+)` \\| (.*) \\|$")

// tableCommand is a command in a row that uses the shell function ui.
var tableCommand = regexp.MustCompile("`([^`]*\\bui -i [^`]*)`")

func TestTable_CommandsReturnTheirProblem(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(projectRoot, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := devserver.Start(t)
	keys := filepath.Dir(s.CAFile)
	prelude := fmt.Sprintf("ui() { curl -sS --cacert %[1]s/ca.crt --cert %[1]s/client.crt --key %[1]s/client.key \"$@\"; }\nB=%[2]s\n", keys, s.URL)
	commands := 0
	for _, r := range tableRow.FindAllStringSubmatch(string(text), -1) {
		for _, c := range tableCommand.FindAllStringSubmatch(r[3], -1) {
			commands++
			t.Run(c[1], func(t *testing.T) {
				line := strings.ReplaceAll(c[1], `\|`, "|") // a table must escape the pipe
				out, err := exec.CommandContext(t.Context(), "sh", "-c", prelude+line).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				checkProblem(t, string(out), r[1], "urn:userinfo:problem:"+r[2])
			})
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands were found in the table", commands)
	}
}

// checkProblem checks the output of curl -i.
func checkProblem(t *testing.T, out, status, kind string) {
	t.Helper()
	out = strings.ReplaceAll(out, "\r", "")
	at := strings.LastIndex(out, "HTTP/") // the first response may be 100 Continue
	if at < 0 || !strings.HasPrefix(strings.SplitN(out[at:], " ", 2)[1], status) {
		t.Fatalf("want status %s, got\n%s", status, out)
	}
	if status == "431" {
		return // net/http answers with plain text before the service sees the request
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
