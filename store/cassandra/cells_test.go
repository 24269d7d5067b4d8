package cassandra

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"userinfo/store"
)

func TestCells_Row(t *testing.T) {
	columns := func(c *cells) []gocql.Unmarshaler {
		return []gocql.Unmarshaler{&c.value, &c.ttl, &c.timestamp, &c.gone}
	}
	for name, c := range map[string]struct {
		columns [4][]byte
		want    store.Row
	}{
		"all null":                {[4][]byte{}, store.Row{}},
		"value":                   {[4][]byte{[]byte("v"), {0, 0, 1, 0}, {0, 0, 0, 0, 0, 1, 0, 2}, nil}, store.Row{Data: []byte("v"), TTL: 256 * time.Second, Timestamp: 65538}},
		"empty value":             {[4][]byte{{}, nil, {0, 0, 0, 0, 0, 0, 0, 7}, nil}, store.Row{Data: []byte{}, Timestamp: 7}},
		"empty value read as nil": {[4][]byte{nil, nil, {0, 0, 0, 0, 0, 0, 0, 7}, nil}, store.Row{Data: []byte{}, Timestamp: 7}},
		"negative numbers":        {[4][]byte{[]byte("v"), {255, 255, 255, 255}, {255, 255, 255, 255, 255, 255, 255, 254}, nil}, store.Row{Data: []byte("v"), TTL: -time.Second, Timestamp: -2}},
		"marker alone":            {[4][]byte{nil, nil, nil, {1}}, store.Row{Deleted: true}},
		"marker that is false":    {[4][]byte{nil, nil, nil, {0}}, store.Row{}},
	} {
		t.Run(name, func(t *testing.T) {
			var all cells
			for i, column := range columns(&all) {
				if err := column.UnmarshalCQL(nil, c.columns[i]); err != nil {
					t.Fatal(err)
				}
			}
			if got := all.row(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// FuzzCells checks that any column is read as a value of its type or is an error.
func FuzzCells(f *testing.F) {
	for _, seed := range [][]byte{nil, {}, {1}, {0, 0, 1, 0}, {0, 0, 0, 0, 0, 1, 0, 2}, []byte("more than eight")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c cells
		if err := c.value.UnmarshalCQL(nil, data); err != nil || !bytes.Equal(c.value, data) {
			t.Errorf("blob of %d bytes: error %v", len(data), err)
		}
		if err := c.ttl.UnmarshalCQL(nil, data); (err == nil) != (data == nil || len(data) == 4 || len(data) == 8) {
			t.Errorf("integer of %d bytes: error %v", len(data), err)
		}
		if err := c.gone.UnmarshalCQL(nil, data); (err == nil) != (len(data) <= 1) {
			t.Errorf("boolean of %d bytes: error %v", len(data), err)
		}
	})
}
