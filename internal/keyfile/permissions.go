package keyfile

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// process has the ids that decide which files a process can read.
type process struct {
	user, group uint32
	groups      []uint32 // supplementary
}

// thisProcess returns the effective user and all groups of this process.
func thisProcess() process {
	p := process{user: uint32(os.Geteuid()), group: uint32(os.Getegid())}
	more, _ := os.Getgroups() // after an error, fewer files are accepted
	for _, g := range more {
		p.groups = append(p.groups, uint32(g))
	}
	return p
}

// permissions say who has access to a file.
type permissions struct {
	mode         fs.FileMode
	owner, group uint32
	acl          []aclEntry // nil if the mode says everything
}

// Bits of a file's mode.
const (
	groupBits   = 0o070
	othersBits  = 0o007
	othersWrite = 0o002
	onlyRead    = 0o4 // in each group of three bits
)

// check returns an error unless only the process p and root can read the file's secret, and only its owner can write it. It
// fails closed.
//
//	owner                       mode          accepted
//	root, or the process's user 0400, 0600    yes
//	root                        0440, 0640    if the group is one of the process's groups. Kubernetes does this (fsGroup).
//	root                        0440, 0640    with an access control list: if all users and groups that it lets read are the
//	                                          process's, or root. systemd does this (LoadCredential=).
//	another user                0400, 0600    if the process runs as root, because root can read every file anyway
//	anybody                     anything else no
func (f permissions) check(p process) error {
	mode := f.mode.Perm()
	if f.owner != 0 && f.owner != p.user && p.user != 0 {
		return fmt.Errorf("belongs to user %d, who can read and change the secret: run `chown %d FILE` and `chmod 0400 FILE`", f.owner, p.user)
	}
	if mode&othersBits != 0 {
		return refused(p, mode, "every user of this machine can use the file")
	}
	if mode&groupBits == 0 {
		return nil
	}
	if f.owner != 0 {
		return refused(p, mode, fmt.Sprintf("group %d can use the file, and root does not own it", f.group))
	}
	for _, e := range f.groupEntries() {
		switch {
		case e.permissions == 0:
		case e.permissions != onlyRead:
			return refused(p, mode, fmt.Sprintf("%v can write or execute the file", e))
		case !e.isOf(p) && p.user == 0:
			return fmt.Errorf("has mode %04o: %v can read the file, and this command runs as root. If the service runs with this group, do not change the file: "+
				"run the command as the service's user. Otherwise run `chown root:0 FILE` and `chmod 0400 FILE`", mode, e)
		case !e.isOf(p):
			return refused(p, mode, fmt.Sprintf("%v, which is not the service's, can read the file", e))
		}
	}
	return nil
}

// refused returns the error of a file that others can use.
func refused(p process, mode fs.FileMode, why string) error {
	return fmt.Errorf("has mode %04o: %s. If somebody may have read or changed it, replace the secret. Then run `chown %d FILE` and `chmod 0400 FILE`, "+
		"or `chown root:%d FILE` and `chmod 0440 FILE`", mode, why, p.user, p.group)
}

// checkPublic returns an error if everybody may write the file. It fails closed.
func (f permissions) checkPublic(process) error {
	if mode := f.mode.Perm(); mode&othersWrite != 0 {
		return fmt.Errorf("has mode %04o: every user of this machine can change whom the service trusts. Check the content, then run `chmod o-w FILE`", mode)
	}
	return nil
}

// groupEntries returns the users and groups to which the group bits of the mode give access. If there is an access control
// list, these bits are only the list's mask, and the list has the entries.
func (f permissions) groupEntries() []aclEntry {
	if f.acl != nil {
		return f.acl
	}
	return []aclEntry{{id: f.group, permissions: uint16(f.mode.Perm()&groupBits) >> 3}}
}

// aclEntry gives one user or one group access to a file.
type aclEntry struct {
	isUser      bool
	id          uint32
	permissions uint16 // three bits: read, write, execute
}

// String names the user or the group.
func (e aclEntry) String() string {
	if e.isUser {
		return fmt.Sprintf("user %d", e.id)
	}
	return fmt.Sprintf("group %d", e.id)
}

// isOf reports whether the entry is for root, for the process's user, or for one of its groups.
func (e aclEntry) isOf(p process) bool {
	if e.isUser {
		return e.id == 0 || e.id == p.user
	}
	return e.id == p.group || slices.Contains(p.groups, e.id)
}
