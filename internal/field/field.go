// Package field names the field of a configuration that an error is about, so that the loader can find its line.
package field

import (
	"errors"
	"fmt"
)

// Error is a mistake in one field.
type Error struct {
	// Path is the place of the field in the file, such as clients[0].tokens[1].sha256.
	Path string
	// Err is the reason. It must not contain a secret.
	Err error
}

// Error returns PATH: REASON.
func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error for the field at path.
func Errorf(path, format string, args ...any) error {
	return &Error{Path: path, Err: fmt.Errorf(format, args...)}
}

// All returns every Error in err, which may be a tree made by errors.Join, in order. An error that names no field is
// returned with an empty Path.
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
