package keyfile

import (
	"io/fs"
	"strings"
	"testing"
)

// TestPermissions_Check has every combination of owner, group and mode that a kind of installation makes.
func TestPermissions_Check(t *testing.T) {
	const root, service, serviceGroup, mountGroup, other = 0, 1000, 1001, 2000, 3000
	asService := process{user: service, group: serviceGroup, groups: []uint32{mountGroup}}
	asRoot := process{user: root, group: root}
	user := func(id uint32, permissions uint16) aclEntry { return aclEntry{true, id, permissions} }
	group := func(id uint32, permissions uint16) aclEntry { return aclEntry{false, id, permissions} }
	const nobodyElse = "" // the file is accepted
	for _, test := range []struct {
		name         string
		p            process
		owner, group uint32
		mode         fs.FileMode
		acl          []aclEntry
		refused      string
	}{
		{"own file", asService, service, serviceGroup, 0o400, nil, nobodyElse},
		{"own file that it can write", asService, service, serviceGroup, 0o600, nil, nobodyElse},
		{"own file that it can execute", asService, service, serviceGroup, 0o700, nil, nobodyElse},
		{"own file that its group can read", asService, service, serviceGroup, 0o440, nil, "root does not own it"},
		{"own file that its group can write", asService, service, serviceGroup, 0o420, nil, "root does not own it"},
		{"own file that everybody can read", asService, service, serviceGroup, 0o404, nil, "every user of this machine"},
		{"own file that everybody can write", asService, service, serviceGroup, 0o402, nil, "every user of this machine"},
		{"own file that everybody can execute", asService, service, serviceGroup, 0o401, nil, "every user of this machine"},
		{"somebody's file", asService, other, serviceGroup, 0o400, nil, "belongs to user 3000"},
		{"somebody's file that our group can read", asService, other, serviceGroup, 0o440, nil, "belongs to user 3000"},

		{"root's file that only root can read", asService, root, root, 0o400, nil, nobodyElse},
		{"Kubernetes with fsGroup", asService, root, mountGroup, 0o440, nil, nobodyElse},
		{"Kubernetes with fsGroup, projected token", asService, root, mountGroup, 0o640, nil, nobodyElse},
		{"Kubernetes with the process's own group", asService, root, serviceGroup, 0o440, nil, nobodyElse},
		{"Kubernetes' default mode", asService, root, mountGroup, 0o644, nil, "every user of this machine"},
		{"Docker's default mode", asService, root, root, 0o444, nil, "every user of this machine"},
		{"root's file of another group", asService, root, other, 0o440, nil, "group 3000, which is not the service's"},
		{"root's file of root's group", asService, root, root, 0o440, nil, "group 0, which is not the service's"},
		{"root's file that our group can write", asService, root, mountGroup, 0o460, nil, "can write or execute"},
		{"root's file that our group can only write", asService, root, mountGroup, 0o420, nil, "can write or execute"},
		{"root's file that our group can execute", asService, root, mountGroup, 0o450, nil, "can write or execute"},

		{"systemd's credential", asService, root, root, 0o440, []aclEntry{user(service, 4), group(root, 0)}, nobodyElse},
		{"list with our group", asService, root, root, 0o440, []aclEntry{group(root, 0), group(mountGroup, 4)}, nobodyElse},
		{"list with root", asService, root, root, 0o440, []aclEntry{user(root, 4), group(root, 0)}, nobodyElse},
		{"list with another user beside us", asService, root, root, 0o440, []aclEntry{user(service, 4), user(other, 4), group(root, 0)}, "user 3000, which is not the service's"},
		{"list with another group", asService, root, root, 0o440, []aclEntry{user(service, 4), group(root, 0), group(other, 4)}, "group 3000, which is not the service's"},
		{"list with the owning group", asService, root, root, 0o440, []aclEntry{user(service, 4), group(root, 4)}, "group 0, which is not the service's"},
		{"list that lets us write", asService, root, root, 0o460, []aclEntry{user(service, 6), group(root, 0)}, "user 1000 can write"},
		{"list on somebody's file", asService, service, root, 0o440, []aclEntry{user(service, 4), group(root, 0)}, "root does not own it"},
		{"list and everybody", asService, root, root, 0o444, []aclEntry{user(service, 4), group(root, 0)}, "every user of this machine"},

		{"as root, root's file", asRoot, root, root, 0o400, nil, nobodyElse},
		{"as root, file of root's group", asRoot, root, root, 0o440, nil, nobodyElse},
		{"as root, file of another group", asRoot, root, mountGroup, 0o440, nil, "run the command as the service's user"},
		{"as root, the service's file", asRoot, service, serviceGroup, 0o400, nil, nobodyElse},
		{"as root, the service's file that its group can read", asRoot, service, serviceGroup, 0o440, nil, "root does not own it"},
		{"as root, file that everybody can read", asRoot, root, root, 0o444, nil, "every user of this machine"},

		{"nothing is known of the process", process{}, other, other, 0o440, nil, "root does not own it"},
		{"nothing is known of the process's groups", process{user: service}, root, mountGroup, 0o440, nil, "group 2000, which is not the service's"},
		{"nothing is known of the file but that a group can read it", asService, 0, 0, 0o040, nil, "group 0, which is not the service's"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := permissions{mode: test.mode, owner: test.owner, group: test.group, acl: test.acl}.check(test.p)
			switch {
			case test.refused == nobodyElse && err != nil:
				t.Errorf("refused: %v", err)
			case test.refused != nobodyElse && err == nil:
				t.Error("accepted")
			case test.refused != nobodyElse && !(strings.Contains(err.Error(), test.refused) && strings.Contains(err.Error(), "chown") && strings.Contains(err.Error(), "chmod")):
				t.Errorf("error %q; want %q and what to do", err, test.refused)
			}
		})
	}
}

func TestPermissions_CheckPublic(t *testing.T) {
	for mode, good := range map[fs.FileMode]bool{
		0: true, 0o400: true, 0o444: true, 0o644: true, 0o664: true, 0o755: true, 0o646: false, 0o666: false, 0o777: false, 0o002: false,
	} {
		if err := (permissions{mode: mode}).checkPublic(process{}); (err == nil) != good {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
