package history

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Write writes h to a file as gzip-compressed JSON.
func (h *History) Write(file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	if err := json.NewEncoder(z).Encode(h); err != nil {
		return fmt.Errorf("writing history %s: %w", file, err)
	}
	return z.Close()
}

// Read reads a file that Write wrote.
func Read(file string) (*History, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading history %s: %w", file, err)
	}
	h := new(History)
	if err := json.NewDecoder(z).Decode(h); err != nil {
		return nil, fmt.Errorf("reading history %s: %w", file, err)
	}
	return h, nil
}
