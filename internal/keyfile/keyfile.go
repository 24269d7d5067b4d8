// Package keyfile reads files that hold one secret key, and defines their format.
//
// Invariants:
//
//  1. A file that somebody other than its owner can read or write is rejected, whatever it contains.
//  2. No error contains the name of the file, which may be the key itself in the wrong place, or any of its content.
//
// The package does not defend against the file's owner or root.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxBytes is the largest number of bytes that is read from a file. Every key file is shorter.
const MaxBytes = 1024

// Read parses a key file. It fails closed: it rejects a file that is not a regular file, or that others than its owner can
// read or write.
func Read[K any](name string, parse func([]byte) (K, error)) (K, error) {
	return read(name, false, parse)
}

// ReadSecretOrPublic is Read, except that everybody may read and write a file that holds a public key in PEM.
func ReadSecretOrPublic[K any](name string, parse func([]byte) (K, error)) (K, error) {
	return read(name, true, parse)
}

func read[K any](name string, public bool, parse func([]byte) (K, error)) (K, error) {
	var none K
	f, err := os.Open(name)
	if err != nil {
		return none, fmt.Errorf("cannot be opened: %w; name a file that holds the key, never the key itself", WithoutName(err))
	}
	defer f.Close()
	info, err := f.Stat() // of the open file, so that it cannot be replaced after the check
	if err != nil {
		return none, fmt.Errorf("its mode cannot be read: %w; name a regular file", WithoutName(err))
	}
	if !info.Mode().IsRegular() {
		return none, errors.New("is not a regular file; name a file that only its owner can read")
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes))
	if err != nil {
		return none, fmt.Errorf("cannot be read: %w", WithoutName(err))
	}
	if !public || !bytes.HasPrefix(text, []byte("-----BEGIN PUBLIC KEY")) {
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return none, fmt.Errorf("has mode %04o, so others than its owner can read or write it: if somebody may have done so, make another key; "+
				"otherwise chmod it to 0400 and give it to the user that the service runs as", mode)
		}
	}
	return parse(text)
}

// WithoutName returns an error of package os without the name of the file.
func WithoutName(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
