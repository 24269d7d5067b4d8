package keyfile

import (
	"encoding/binary"
	"slices"
	"testing"
)

// acl returns an access control list as the kernel stores it. Each entry is tag, permissions and id.
func acl(version uint32, entries ...[3]uint32) []byte {
	text := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range entries {
		text = binary.LittleEndian.AppendUint16(text, uint16(e[0]))
		text = binary.LittleEndian.AppendUint16(text, uint16(e[1]))
		text = binary.LittleEndian.AppendUint32(text, e[2])
	}
	return text
}

const noID = ^uint32(0)

// credentialACL is the list of a file of mode 0400 to which systemd has added one user that may read it.
func credentialACL(user uint32) []byte {
	return acl(aclVersion, [3]uint32{tagOwner, 4, noID}, [3]uint32{tagUser, 4, user}, [3]uint32{tagOwnerGroup, 0, noID},
		[3]uint32{tagMask, 4, noID}, [3]uint32{tagOthers, 0, noID})
}

func TestParseACL_AcceptsOnlyCompleteLists(t *testing.T) {
	group := [3]uint32{tagOwnerGroup, 4, noID}
	for _, test := range []struct {
		name string
		text []byte
		want []aclEntry // nil for an error
	}{
		{"credential of systemd", credentialACL(1000), []aclEntry{{true, 1000, 4}, {false, 7, 0}}},
		{"the owning group alone", acl(aclVersion, group), []aclEntry{{false, 7, 4}}},
		{"a group and a mask", acl(aclVersion, group, [3]uint32{tagGroup, 6, 5}, [3]uint32{tagMask, 2, noID}), []aclEntry{{false, 7, 0}, {false, 5, 2}}},
		{"a mask before what it limits", acl(aclVersion, [3]uint32{tagMask, 4, noID}, group, [3]uint32{tagUser, 7, 5}), []aclEntry{{false, 7, 4}, {true, 5, 4}}},
		{"nothing", nil, nil},
		{"no entry", acl(aclVersion), nil},
		{"no owning group", acl(aclVersion, [3]uint32{tagUser, 4, 1000}), nil},
		{"another version", acl(3, group), nil},
		{"half an entry", acl(aclVersion, group)[:8], nil},
		{"an unknown tag", acl(aclVersion, group, [3]uint32{0x40, 0, 0}), nil},
	} {
		got, err := parseACL(test.text, 7)
		if (err != nil) != (len(test.want) == 0) || err == nil && !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}

// FuzzParseACL checks that a list without an error has an entry, because a list without one would refuse nobody.
func FuzzParseACL(f *testing.F) {
	for _, seed := range [][]byte{nil, acl(aclVersion), credentialACL(1000), credentialACL(1000)[:20], acl(3, [3]uint32{tagOwnerGroup, 4, 0})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := parseACL(text, 7)
		if (err == nil) != (len(entries) > 0) {
			t.Errorf("%d entries, %v", len(entries), err)
		}
		if len(entries)*aclEntrySize > len(text) {
			t.Errorf("%d entries of %d bytes", len(entries), len(text))
		}
	})
}
