//go:build integration

package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestFleet_CommandSeesTheHostsFileAndKeepsItsProcessID(t *testing.T) {
	machine, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{dir: t.TempDir(), hostNames: true}
	if err := os.WriteFile(f.hostsFile(), []byte("192.0.2.1 dc1-1.cassandra.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := f.command("sh", "-c", "echo $$ && cat /etc/hosts && read line && cat /etc/hosts")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// The running process sees a change of the file.
	if err := os.WriteFile(f.hostsFile(), []byte("192.0.2.2 dc1-1.cassandra.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, fmt.Sprintf("%d\n192.0.2.", c.Process.Pid)) || !strings.HasSuffix(got, "192.0.2.2 dc1-1.cassandra.test\n") {
		t.Errorf("process %d printed %q", c.Process.Pid, got)
	}
	if now, err := os.ReadFile("/etc/hosts"); err != nil || string(now) != string(machine) {
		t.Errorf("the machine's /etc/hosts is now %q, %v", now, err)
	}
}

func TestFleet_CommandIsPlainWithoutHostNames(t *testing.T) {
	c := new(Fleet).command("program", "serve")
	if want := exec.Command("program", "serve"); fmt.Sprint(c.Args) != fmt.Sprint(want.Args) || c.SysProcAttr != nil {
		t.Errorf("command %v, attributes %v", c.Args, c.SysProcAttr)
	}
}
