// Package keyfile has the format of files that hold one secret key, and reads them.
//
// Invariants: a file that others than its owner can read or write holds no key, whatever is in it; no error has the
// file's name, which may be the key itself in the wrong place, nor anything of what it holds.
//
// It does not defend against who may read the file as its owner or as root.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxBytes is more than any key file has. What is beyond it is not read.
const MaxBytes = 1024

// Read has parse make a key of a file that nobody but its owner can read or write. It fails closed: one that others can,
// or that is no regular file, holds no key.
func Read[K any](file string, parse func([]byte) (K, error)) (none K, err error) {
	f, err := os.Open(file)
	if err != nil {
		return none, fmt.Errorf("cannot be opened: %w; name a file that holds the key, never the key itself", Unnamed(err))
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is open, so that no other can take its place
	if err != nil {
		return none, fmt.Errorf("its mode cannot be told: %w; name a regular file", Unnamed(err))
	}
	if !info.Mode().IsRegular() {
		return none, errors.New("is not a regular file; name one that only its owner can read")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return none, fmt.Errorf("has mode %04o, so others than its owner can read or write it: if they might have, make another key; "+
			"otherwise chmod 0400 and give it to the user that the service runs as", mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes))
	if err != nil {
		return none, fmt.Errorf("cannot be read: %w; name a regular file on a disk that works", Unnamed(err))
	}
	return parse(text)
}

// Unnamed is an error of package os without the name of the file.
func Unnamed(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
