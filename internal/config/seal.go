package config

import (
	"errors"
	"fmt"
	"slices"

	"userinfo/internal/field"
	"userinfo/store"
)

// Seal names the key files that seal rows. `userinfo key new` makes them. They are secret files: see package keyfile.
type Seal struct {
	// IndexKey is the file of the key from which row keys are computed. The key must never change: with another key the
	// service finds no session. It does not find the markers of deletes either, so a late Set could restore a deleted
	// session.
	IndexKey string `yaml:"index_key"`
	// Keys are the files of the keys that encrypt values. The first encrypts, all decrypt. The list can be reloaded.
	Keys []string `yaml:"keys"`
}

func (s Seal) isSet() bool { return s.IndexKey != "" || s.Keys != nil }

// files returns the names of all key files.
func (s Seal) files() []string { return append([]string{s.IndexKey}, s.Keys...) }

// validateSeal checks that keys are given if and only if a collection is sealed. It fails closed: a collection of layout
// userinfo without keys is an error.
func (c *Config) validateSeal() error {
	sealed := slices.IndexFunc(c.Collections, Collection.hasSealedTable)
	switch {
	case sealed >= 0 && !c.Seal.isSet() && c.Collections[sealed].Layout == store.LayoutKask:
		return field.Errorf(fmt.Sprintf("collections[%d].read_through", sealed),
			"the table to which the collection moves is sealed: set seal.index_key and seal.keys to files that `userinfo key new` has made")
	case sealed >= 0 && !c.Seal.isSet():
		return field.Errorf(fmt.Sprintf("collections[%d].layout", sealed),
			"layout userinfo needs keys: set seal.index_key and seal.keys to files that `userinfo key new` has made")
	case sealed < 0 && c.Seal.isSet() && len(c.Collections) > 0:
		return field.Errorf("seal", "no collection has layout userinfo, so nothing would be sealed: remove seal")
	case !c.Seal.isSet():
		return nil
	}
	var errs []error
	if c.Seal.IndexKey == "" {
		errs = append(errs, field.Errorf("seal.index_key", "missing: name a file that `userinfo key new index` has made"))
	}
	if len(c.Seal.Keys) == 0 {
		errs = append(errs, field.Errorf("seal.keys", "missing: list files that `userinfo key new seal` has made; the first encrypts"))
	}
	return errors.Join(errs...)
}
