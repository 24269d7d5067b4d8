package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"userinfo/internal/keyfile"
)

// file is one configured file. It is not configured if path is empty. data is nil until the file is read.
type file struct {
	field, path string
	secret      bool // only the service and root may have access; see package keyfile
	hidePath    bool // errors do not contain the path, because somebody may have pasted the secret in its place
	data        []byte
}

// fail returns err as the error of this file's field.
func (f file) fail(err error) error {
	if f.hidePath {
		return &FieldError{Field: f.field, Err: err}
	}
	return &FieldError{Field: f.field, Err: fmt.Errorf("%s: %w", f.path, err)}
}

// files are the files that a Server or a Client is loaded from.
type files struct {
	certificate, key file
	cas              []file // CA bundles
	crls             []file
	denied           file
	ticketKey        file
}

// all returns pointers to every file in f.
func (f *files) all() []*file {
	all := []*file{&f.certificate, &f.key, &f.denied, &f.ticketKey}
	for i := range f.cas {
		all = append(all, &f.cas[i])
	}
	for i := range f.crls {
		all = append(all, &f.crls[i])
	}
	return all
}

// paths returns the paths of all configured files.
func (f files) paths() (all []string) {
	for _, one := range f.all() {
		if one.path != "" {
			all = append(all, one.path)
		}
	}
	return all
}

// clearSecrets overwrites the contents of secret files.
func (f files) clearSecrets() {
	for _, one := range f.all() {
		if one.secret {
			clear(one.data)
		}
	}
}

// read returns a copy of f with the contents of every configured file. The caller must call its clearSecrets.
func (f files) read() (files, error) {
	f.cas, f.crls = slices.Clone(f.cas), slices.Clone(f.crls)
	for _, one := range f.all() {
		if one.path == "" {
			continue
		}
		if one.secret {
			text, err := keyfile.Read(one.path, func(text []byte) ([]byte, error) { return bytes.Clone(text), nil })
			if err != nil {
				f.clearSecrets()
				return files{}, one.fail(err)
			}
			one.data = text
			continue
		}
		data, err := keyfile.ReadPublic(one.path)
		if err != nil {
			f.clearSecrets()
			return files{}, &FieldError{Field: one.field, Err: fmt.Errorf("cannot read the file: %w", err)}
		}
		one.data = data
	}
	return f, nil
}

// digest returns a hash of all contents, so that they can be compared later without keeping private keys.
func (f files) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, one := range f.all() {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(one.data)))
		h.Write(size[:])
		h.Write(one.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// changed reads the files and reports whether their digest is not loaded.
func (f files) changed(loaded [sha256.Size]byte) (bool, error) {
	contents, err := f.read()
	if err != nil {
		return false, err
	}
	defer contents.clearSecrets()
	return contents.digest() != loaded, nil
}
