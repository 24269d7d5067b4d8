package load

import (
	"bytes"
	"compress/flate"
	"regexp"
	"testing"
)

func TestDataset_KeyLooksLikeMediaWikis(t *testing.T) {
	want := regexp.MustCompile(`^enwiki:MWSession:[0-9a-f]{32}$`)
	d := Dataset{Values: 10, ValueBytes: 2048}
	for i := range 10 {
		if k := d.Key(i); !want.MatchString(k) {
			t.Errorf("key %d is %q", i, k)
		}
	}
}

func TestDataset_IsBeginningOfLargerOne(t *testing.T) {
	small, large := DatasetOf(10e6, 2048), DatasetOf(9e9, 2048)
	if small.Values != 4882 || small.Bytes() > 10e6 || large.Values <= small.Values {
		t.Fatalf("%+v, %+v", small, large)
	}
	for _, i := range []int{0, 1, small.Values - 1} {
		if small.Key(i) != large.Key(i) || !bytes.Equal(small.Value(nil, i), large.Value(nil, i)) {
			t.Errorf("value %d differs", i)
		}
	}
}

func TestDataset_KeysAndValuesAreUnique(t *testing.T) {
	keys, values := map[string]int{}, map[string]int{}
	for _, d := range []Dataset{{2000, 64}, {2000, 65}} { // of two data sets
		for i := range d.Values {
			if j, twice := keys[d.Key(i)]; twice {
				t.Fatalf("keys %d and %d are the same", i, j)
			}
			v := string(d.Value(nil, i)[:64])
			if j, twice := values[v]; twice {
				t.Fatalf("values %d and %d are the same", i, j)
			}
			keys[d.Key(i)], values[v] = i, i
		}
	}
}

func TestDataset_ValueCannotBeCompressed(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 2048, 100_000} {
		d := Dataset{Values: 1, ValueBytes: size}
		v := d.Value([]byte("before"), 0)
		if len(v) != size+6 || string(v[:6]) != "before" {
			t.Errorf("a value of %d bytes was appended as %d", size, len(v)-6)
		}
		var small bytes.Buffer
		w, _ := flate.NewWriter(&small, flate.BestCompression) // the level is valid
		_, _ = w.Write(v[6:])                                  // to memory
		w.Close()
		if small.Len() < size {
			t.Errorf("%d bytes compress to %d", size, small.Len())
		}
	}
}

func BenchmarkDataset_Value(b *testing.B) {
	d := Dataset{Values: 1, ValueBytes: 2048}
	var v []byte
	b.SetBytes(2048)
	for b.Loop() {
		v = d.Value(v[:0], 7)
	}
}
