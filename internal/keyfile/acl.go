package keyfile

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Format of the extended attribute with a POSIX access control list: a version, then entries of 8 bytes, all in little
// endian. See linux/posix_acl_xattr.h.
//
//	version uint32 ‖ (tag uint16 ‖ permissions uint16 ‖ id uint32)*
const (
	aclAttribute  = "system.posix_acl_access"
	aclVersion    = 2
	aclHeaderSize = 4
	aclEntrySize  = 8
	maxACLBytes   = 64 << 10 // the kernel's limit of an attribute
)

// Tags of entries.
const (
	tagOwner      = 0x01
	tagUser       = 0x02
	tagOwnerGroup = 0x04
	tagGroup      = 0x08
	tagMask       = 0x10
	tagOthers     = 0x20
)

// readACL returns the entries of a file's access control list: see parseACL. It returns nil if the file has no list, or if the
// file system does not support lists. It fails closed: it returns every other error.
func readACL(f *os.File, ownerGroup uint32) ([]aclEntry, error) {
	text := make([]byte, maxACLBytes)
	n, err := unix.Fgetxattr(int(f.Fd()), aclAttribute, text)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(text[:n], ownerGroup)
}

// parseACL returns the entries of a list for named users, named groups and the owning group, each without the permissions
// that the list's mask takes away. It fails closed: it rejects a list without the owning group. Every list of the kernel has
// the owning group, so a list without an error has at least one entry.
func parseACL(text []byte, ownerGroup uint32) ([]aclEntry, error) {
	if len(text) < aclHeaderSize || (len(text)-aclHeaderSize)%aclEntrySize != 0 || binary.LittleEndian.Uint32(text) != aclVersion {
		return nil, errors.New("it has an unknown format")
	}
	var entries []aclEntry
	mask, complete := uint16(0o7), false
	for rest := text[aclHeaderSize:]; len(rest) > 0; rest = rest[aclEntrySize:] {
		tag, e := binary.LittleEndian.Uint16(rest), aclEntry{
			permissions: binary.LittleEndian.Uint16(rest[2:]),
			id:          binary.LittleEndian.Uint32(rest[4:]),
		}
		switch tag {
		case tagOwner, tagOthers: // also in the mode
		case tagMask:
			mask = e.permissions
		case tagOwnerGroup:
			e.id, complete = ownerGroup, true
			entries = append(entries, e)
		case tagUser, tagGroup:
			e.isUser = tag == tagUser
			entries = append(entries, e)
		default:
			return nil, errors.New("it has an unknown kind of entry")
		}
	}
	if !complete {
		return nil, errors.New("it does not name the owning group")
	}
	for i := range entries {
		entries[i].permissions &= mask
	}
	return entries, nil
}
