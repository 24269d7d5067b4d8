package cassandra

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gocql/gocql"

	"userinfo/store"
)

// cells are the columns of a row. Each may be null. They have types of their own because the driver then needs neither
// reflection nor an allocation for each.
type cells struct {
	value     blobCell
	ttl       integerCell // seconds
	timestamp integerCell // µs
	gone      flagCell
}

// row returns the cells as a store.Row.
func (c *cells) row() store.Row {
	r := store.Row{Data: c.value, TTL: time.Duration(c.ttl.value) * time.Second, Timestamp: c.timestamp.value, Deleted: bool(c.gone)}
	if c.timestamp.valid && r.Data == nil { // the driver may return nil for an empty value
		r.Data = []byte{}
	}
	return r
}

// blobCell is a blob; nil is null. Its memory is part of the frame that the driver has read. The driver makes a new frame
// for each response and does not use it again.
type blobCell []byte

var _ gocql.Unmarshaler = (*blobCell)(nil)

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *blobCell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	*c = data[:len(data):len(data)]
	return nil
}

// integerCell is an int or a bigint.
type integerCell struct {
	value int64
	valid bool // not null
}

var _ gocql.Unmarshaler = (*integerCell)(nil)

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *integerCell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	switch {
	case data == nil:
		*c = integerCell{}
	case len(data) == 4:
		*c = integerCell{int64(int32(binary.BigEndian.Uint32(data))), true}
	case len(data) == 8:
		*c = integerCell{int64(binary.BigEndian.Uint64(data)), true}
	default:
		return fmt.Errorf("integer of %d bytes, want 4 or 8", len(data))
	}
	return nil
}

// flagCell is a boolean; null is false.
type flagCell bool

var _ gocql.Unmarshaler = (*flagCell)(nil)

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *flagCell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	if len(data) > 1 {
		return fmt.Errorf("boolean of %d bytes, want 1", len(data))
	}
	*c = len(data) == 1 && data[0] != 0
	return nil
}
