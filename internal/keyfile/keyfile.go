// Package keyfile reads files that hold one secret, such as a key or a password, and keeps keys in memory. It defines who may
// have access to such a file, and the format of the service's own keys.
//
// Invariants:
//
//  1. A secret file is rejected if anybody except the service and root can read or write it, whatever it contains. See
//     permissions.check for the rule.
//  2. The rule is checked on the opened file, after all symbolic links, so that the file cannot be replaced after the check.
//  3. A Secret has one copy in memory, which is locked where the kernel allows it and erased when nothing refers to it. Text
//     that was read from a secret file is erased after it was parsed.
//  4. No error about a secret contains any of its content, or the name of its file, because somebody may have written the
//     secret itself where the name should be.
//
// The package does not defend against the file's owner or root, nor against somebody who can write to the directory of the
// file and puts another file in its place. It does not defend against somebody who can read the memory of the process, and not
// against the copies that Go's packages make: crypto/tls keeps private keys, and crypto/hmac the state from which it
// computes, in memory that is not locked.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxBytes is the largest size of a file that holds a secret, in bytes.
const MaxBytes = 64 << 10

// Read parses the file of a secret. parse must not keep its argument, which Read overwrites afterwards. Read fails closed: it
// rejects a file that is not a regular file, that is larger than MaxBytes, or that others can read or write.
func Read[K any](name string, parse func([]byte) (K, error)) (K, error) {
	return read(name, false, parse)
}

// ReadSecretOrPublic is Read, except that everybody may read a file that holds a public key in PEM. Nobody but its owner and
// its group may write it.
func ReadSecretOrPublic[K any](name string, parse func([]byte) (K, error)) (K, error) {
	return read(name, true, parse)
}

func read[K any](name string, public bool, parse func([]byte) (K, error)) (K, error) {
	var none K
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // so that opening a named pipe does not wait
	if errors.Is(err, fs.ErrPermission) {
		return none, fmt.Errorf("cannot be opened by user %d: %w; give the file to this user, or to root and a group of this user with mode 0640; "+
			"the user also needs access to its directory", os.Geteuid(), WithoutName(err))
	}
	if err != nil {
		return none, fmt.Errorf("cannot be opened: %w; name a file that holds the secret, never the secret itself", WithoutName(err))
	}
	defer f.Close()
	p, err := permissionsOf(f)
	if err != nil {
		return none, err
	}
	// One buffer for any size: a buffer that grows leaves copies of the secret.
	text := make([]byte, MaxBytes+1)
	n, err := io.ReadFull(f, text)
	text = text[:n]
	defer clear(text)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return none, fmt.Errorf("cannot be read: %w", WithoutName(err))
	}
	check := p.check
	if public && bytes.HasPrefix(text, []byte("-----BEGIN PUBLIC KEY")) {
		check = p.checkPublic
	}
	if err := check(thisProcess()); err != nil {
		return none, err
	}
	if len(text) > MaxBytes {
		return none, fmt.Errorf("is larger than %d bytes; name a file that holds one secret", MaxBytes)
	}
	return parse(text)
}

// ReadPublic returns the content of a file that everybody may read, such as a certificate. It fails closed: it rejects a
// regular file that everybody may write, because its content decides whom the service trusts.
func ReadPublic(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() { // /dev/null is not, and may stand for an empty file
		if err := (permissions{mode: info.Mode()}).checkPublic(process{}); err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
	}
	return io.ReadAll(f)
}

// permissionsOf returns the permissions of an open file. It fails closed: it rejects what is not a regular file.
func permissionsOf(f *os.File) (permissions, error) {
	info, err := f.Stat()
	if err != nil {
		return permissions{}, fmt.Errorf("its mode cannot be read: %w; name a regular file", WithoutName(err))
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return permissions{}, errors.New("is not a regular file; name a file that holds the secret")
	}
	acl, err := readACL(f, owner.Gid)
	if err != nil {
		return permissions{}, fmt.Errorf("its access control list cannot be used: %w; remove it with `setfacl -b`", err)
	}
	return permissions{mode: info.Mode(), owner: owner.Uid, group: owner.Gid, acl: acl}, nil
}

// WithoutName returns an error of package os without the name of the file.
func WithoutName(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
