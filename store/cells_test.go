package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

func TestCellsAreReadAsCassandraWritesThem(t *testing.T) {
	columns := func(c *cells) []gocql.Unmarshaler {
		return []gocql.Unmarshaler{&c.value, &c.ttl, &c.timestamp, &c.gone}
	}
	for claim, c := range map[string]struct {
		columns [4][]byte
		want    Row
	}{
		"nulls":           {[4][]byte{}, Row{}},
		"a value":         {[4][]byte{[]byte("v"), {0, 0, 1, 0}, {0, 0, 0, 0, 0, 1, 0, 2}, nil}, Row{Data: []byte("v"), TTL: 256 * time.Second, Timestamp: 65538}},
		"an empty value":  {[4][]byte{{}, nil, {0, 0, 0, 0, 0, 0, 0, 7}, nil}, Row{Data: []byte{}, Timestamp: 7}},
		"an empty as nil": {[4][]byte{nil, nil, {0, 0, 0, 0, 0, 0, 0, 7}, nil}, Row{Data: []byte{}, Timestamp: 7}},
		"negative":        {[4][]byte{[]byte("v"), {255, 255, 255, 255}, {255, 255, 255, 255, 255, 255, 255, 254}, nil}, Row{Data: []byte("v"), TTL: -time.Second, Timestamp: -2}},
		"a marker alone":  {[4][]byte{nil, nil, nil, {1}}, Row{Deleted: true}},
		"a marker unset":  {[4][]byte{nil, nil, nil, {0}}, Row{}},
	} {
		var all cells
		for i, column := range columns(&all) {
			if err := column.UnmarshalCQL(nil, c.columns[i]); err != nil {
				t.Errorf("%s: %v", claim, err)
			}
		}
		got := all.row()
		if (got.Data == nil) != (c.want.Data == nil) || !bytes.Equal(got.Data, c.want.Data) || got.TTL != c.want.TTL || got.Timestamp != c.want.Timestamp || got.Deleted != c.want.Deleted {
			t.Errorf("%s: %d bytes (nil: %v), TTL %v, timestamp %d, gone %v", claim, len(got.Data), got.Data == nil, got.TTL, got.Timestamp, got.Deleted)
		}
	}
}

// FuzzCells: whatever a column holds is read as a value of its type, or is an error.
func FuzzCells(f *testing.F) {
	for _, seed := range [][]byte{nil, {}, {1}, {0, 0, 1, 0}, {0, 0, 0, 0, 0, 1, 0, 2}, []byte("more than eight")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c cells
		if err := c.value.UnmarshalCQL(nil, data); err != nil || !bytes.Equal(c.value, data) {
			t.Errorf("a blob of %d bytes: error %v", len(data), err)
		}
		if err := c.ttl.UnmarshalCQL(nil, data); (err == nil) != (data == nil || len(data) == 4 || len(data) == 8) {
			t.Errorf("a number of %d bytes: error %v", len(data), err)
		}
		if err := c.gone.UnmarshalCQL(nil, data); (err == nil) != (len(data) <= 1) {
			t.Errorf("a boolean of %d bytes: error %v", len(data), err)
		}
	})
}
