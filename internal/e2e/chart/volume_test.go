//go:build integration

package chart

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/scratch"
)

// mountPath is where the chart mounts the files of a pod.
const mountPath = "/etc/userinfo"

// pod is a rendered pod whose files are in a directory of this machine.
type pod struct {
	template any
	dir      string // instead of mountPath
	program  string
}

// build builds the program so that every user can run it.
func build(t *testing.T) (program string) {
	t.Helper()
	program = devserver.Build(t)
	if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755); err != nil { // the parent of all directories of t
		t.Fatal(err)
	}
	return program
}

// mount writes the files of a pod of these objects, as the kubelet does: they belong to root and to the pod's fsGroup, have the mode of
// the volume, and are reached through links that the kubelet replaces. The content of a file that the objects do not contain is
// made for the setting that names it. A file that no setting names is an error.
func (all objects) mount(t *testing.T, template any, program string) pod {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, to run the program as the user of the pod")
	}
	p := pod{template: template, dir: t.TempDir(), program: program}
	if err := os.Chmod(filepath.Dir(p.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := scratch.New(t.TempDir(), program)
	if err != nil {
		t.Fatal(err)
	}
	sources := list(template, "spec volumes 0 projected sources")
	for _, source := range sources {
		for key, content := range all.data(text(source, "configMap name")) {
			p.write(t, key, content.(string))
			if err := made.WriteConfig(content.(string)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, source := range sources {
		if all.data(text(source, "configMap name")) != nil {
			continue
		}
		for _, item := range slices.Concat(list(source, "secret items"), list(source, "configMap items")) {
			path := text(item, "path")
			content, err := os.ReadFile(filepath.Join(made.Path, path))
			if err != nil {
				t.Errorf("the pod has the file %s, and no setting names it", path)
			}
			p.write(t, path, string(content))
		}
	}
	p.link(t)
	return p
}

// writtenDir is the directory in which the files of a volume are.
const writtenDir = "..v1"

// write writes a file with the group and the mode of the volume.
func (p pod) write(t *testing.T, path, content string) {
	t.Helper()
	file := filepath.Join(p.dir, writtenDir, path)
	mode := os.FileMode(number(p.template, "spec volumes 0 projected defaultMode"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600),
		os.Chown(file, 0, number(p.template, "spec securityContext fsGroup")), os.Chmod(file, mode)); err != nil {
		t.Fatal(err)
	}
}

// link makes the links through which the program finds what was written.
func (p pod) link(t *testing.T) {
	t.Helper()
	top, err := os.ReadDir(filepath.Join(p.dir, writtenDir))
	err = errors.Join(err, os.Symlink(writtenDir, filepath.Join(p.dir, "..data")))
	for _, entry := range top {
		err = errors.Join(err, os.Symlink(filepath.Join("..data", entry.Name()), filepath.Join(p.dir, entry.Name())))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command returns the command of the pod's container, with the user and the groups of the pod.
func (p pod) command(t *testing.T) *exec.Cmd {
	t.Helper()
	var args []string
	for _, arg := range list(p.template, "spec containers 0 args") {
		args = append(args, strings.Replace(arg.(string), mountPath, p.dir, 1))
	}
	cmd := exec.CommandContext(t.Context(), p.program, args...)
	cmd.Dir = "/"
	security := at(p.template, "spec securityContext")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: uint32(number(security, "runAsUser")), Gid: uint32(number(security, "runAsGroup")), Groups: []uint32{uint32(number(security, "fsGroup"))},
	}}
	return cmd
}

// read returns the content of a file of the pod.
func (p pod) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replace replaces the first old by new in a file of the pod.
func (p pod) replace(t *testing.T, name, old, new string) {
	t.Helper()
	content := p.read(t, name)
	if !strings.Contains(content, old) {
		t.Fatalf("%s does not contain %q", name, old)
	}
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(strings.Replace(content, old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
