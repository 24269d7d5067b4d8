// Package field names the place in a configuration that an error is about, so that whoever loads the
// file can tell its line.
package field

import (
	"errors"
	"fmt"
)

// Error is what is wrong with one field. Path is its place in the file, such as clients[0].tokens[1].sha256.
// Err never quotes a secret.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap gives the reason without the place.
func (e *Error) Unwrap() error { return e.Err }

// Errorf is an Error for the field at path.
func Errorf(path, format string, args ...any) error {
	return &Error{Path: path, Err: fmt.Errorf(format, args...)}
}

// All lists every Error in err, which may be a tree made by errors.Join. An error that names no field
// comes back with an empty Path.
func All(err error) []*Error {
	if err == nil {
		return nil
	}
	if tree, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range tree.Unwrap() {
			all = append(all, All(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return []*Error{e}
	}
	return []*Error{{Err: err}}
}
