package seal

import (
	"bytes"
	"fmt"

	"userinfo/access"
	"userinfo/store"
)

// Cells seals single values, for tables that are not a store.Rows. Config.Collection is the kind of value: a value of one
// kind never opens as another. It is safe for concurrent use.
type Cells struct {
	config  Config
	results openResults
}

// NewCells returns Cells. It fails closed: it panics if a field of c is missing.
func NewCells(c Config) *Cells {
	if c.Collection == "" || c.Keys == nil || c.Keys() == nil || c.Random == nil || c.Metrics == nil {
		panic("seal: NewCells needs a collection, keys, randomness and metrics")
	}
	return &Cells{config: c, results: c.Metrics.results(c.Collection)}
}

// RowKey returns the key under which the table stores the values of key: a keyed hash.
func (c *Cells) RowKey(key access.Key) access.Key {
	return c.config.Keys().locate(c.config.Collection, key).rowKey
}

// Seal encrypts a value of key.
func (c *Cells) Seal(key access.Key, data []byte) ([]byte, error) {
	keys := c.config.Keys()
	sealed, err := keys.seal(c.config.Random, keys.locate(c.config.Collection, key), data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return sealed, nil
}

// Open decrypts a value of key, and does not change sealed. If the value cannot be opened, the error wraps store.ErrSealed.
// oldKey reports whether it was sealed with a key other than the first.
func (c *Cells) Open(key access.Key, sealed []byte) (data []byte, oldKey bool, err error) {
	keys := c.config.Keys()
	data, oldKey, err = keys.open(keys.locate(c.config.Collection, key), bytes.Clone(sealed))
	c.results.count(oldKey, err)
	return data, oldKey, err
}
