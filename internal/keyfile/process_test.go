package keyfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThisProcess_HasIDsOfProcess(t *testing.T) {
	p := thisProcess()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if int(p.user) != os.Geteuid() || int(p.group) != os.Getegid() || len(p.groups) != len(groups) {
		t.Errorf("%+v", p)
	}
}

// TestRead_AsServiceUser reads real files as a user that is not root, as a service does in a pod and under systemd.
func TestRead_AsServiceUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can make files of other users")
		return
	}
	const service, mountGroup = 64001, 64002
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string, owner, group int, mode os.FileMode, list []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		err := errors.Join(os.WriteFile(path, []byte("key"), 0o600), os.Chown(path, owner, group), os.Chmod(path, mode))
		if err == nil && list != nil {
			err = unix.Setxattr(path, aclAttribute, list, 0)
		}
		if errors.Is(err, unix.ENOTSUP) {
			t.Log("the file system has no access control lists")
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	others := acl(aclVersion, [3]uint32{tagOwner, 4, noID}, [3]uint32{tagUser, 4, service}, [3]uint32{tagUser, 4, 64003},
		[3]uint32{tagOwnerGroup, 0, noID}, [3]uint32{tagMask, 4, noID}, [3]uint32{tagOthers, 0, noID})
	for name, test := range map[string]struct {
		path string
		good bool
	}{
		"Kubernetes":          {file("kubernetes", 0, mountGroup, 0o440, nil), true},
		"systemd":             {file("systemd", 0, 0, 0o400, credentialACL(service)), true},
		"own":                 {file("own", service, mountGroup, 0o400, nil), true},
		"own, for the group":  {file("own-group", service, mountGroup, 0o440, nil), false},
		"a list with another": {file("list", 0, 0, 0o400, others), false},
		"everybody":           {file("everybody", 0, mountGroup, 0o444, nil), false},
		"writable":            {file("writable", 0, mountGroup, 0o460, nil), false},
	} {
		if test.path == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var text string
			var err error
			asUser(t, service, mountGroup, func() {
				text, err = Read(test.path, func(text []byte) (string, error) { return string(text), nil })
			})
			if (err == nil) != test.good || test.good != (text == "key") {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// TestRead_SaysWhoCannotOpenFile reads a file of root, as a file that was made with umask 077 is.
func TestRead_SaysWhoCannotOpenFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can become another user")
		return
	}
	path := filepath.Join(t.TempDir(), "planted-name")
	if err := os.WriteFile(path, []byte("planted-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	asUser(t, 64001, 64002, func() { _, err = Read(path, func([]byte) (string, error) { return "", nil }) })
	if err == nil || !strings.Contains(err.Error(), "cannot be opened by user 64001: permission denied; give the file to this user") || strings.Contains(err.Error(), "planted") {
		t.Error(err)
	}
}

// asUser calls do in a thread that has the ids of another user and group. The thread ends afterwards.
func asUser(t *testing.T, user, group uintptr, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock it, so that no other goroutine gets its ids
		for _, ids := range [][2]uintptr{{unix.SYS_SETGROUPS, 0}, {unix.SYS_SETRESGID, group}, {unix.SYS_SETRESUID, user}} {
			// As a system call, because the functions of packages syscall and unix change all threads.
			if _, _, e := unix.RawSyscall(ids[0], ids[1], ids[1], ids[1]); e != 0 {
				done <- e
				return
			}
		}
		do()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
