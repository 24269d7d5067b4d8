package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gocql/gocql"
)

// cells are a row's columns as the driver reads them into memory, each of which may be null. With types of its own for
// them, it takes no reflection, and no memory for each.
type cells struct {
	value     blobCell
	ttl       integerCell // seconds
	timestamp integerCell
	gone      flagCell
}

// row is what the cells say.
func (c *cells) row() Row {
	r := Row{Data: c.value, TTL: time.Duration(c.ttl.value) * time.Second, Timestamp: c.timestamp.value, Deleted: bool(c.gone)}
	if c.timestamp.there && r.Data == nil { // the driver may not tell an empty value from none
		r.Data = []byte{}
	}
	return r
}

// blobCell is nil where there is none. It lies in the frame that the driver has read it from, which is this statement's
// alone and of no use to the driver any more: it makes one for each answer.
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
	there bool
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
		return fmt.Errorf("a number of %d bytes", len(data))
	}
	return nil
}

// flagCell is a boolean; null is false.
type flagCell bool

var _ gocql.Unmarshaler = (*flagCell)(nil)

// UnmarshalCQL implements gocql.Unmarshaler.
func (c *flagCell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	if len(data) > 1 {
		return fmt.Errorf("a boolean of %d bytes", len(data))
	}
	*c = len(data) == 1 && data[0] != 0
	return nil
}
