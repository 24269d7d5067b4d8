package load

import (
	"bytes"
	"compress/flate"
	"regexp"
	"testing"
)

func TestAKeyLooksLikeMediaWikis(t *testing.T) {
	want := regexp.MustCompile(`^enwiki:MWSession:[0-9a-f]{32}$`)
	d := Dataset{Values: 10, ValueBytes: Session}
	for i := range 10 {
		if k := d.Key(i); !want.MatchString(k) {
			t.Errorf("key %d is %q", i, k)
		}
	}
}

func TestADataSetIsThePrefixOfALargerOne(t *testing.T) {
	small, large := DatasetOf(10e6, Session), DatasetOf(9e9, Session)
	if small.Values != 4882 || small.Bytes() > 10e6 || large.Values <= small.Values {
		t.Fatalf("%+v, %+v", small, large)
	}
	for _, i := range []int{0, 1, small.Values - 1} {
		if small.Key(i) != large.Key(i) || !bytes.Equal(small.Value(nil, i), large.Value(nil, i)) {
			t.Errorf("value %d differs", i)
		}
	}
}

func TestNoTwoValuesOrKeysAreTheSame(t *testing.T) {
	keys, values := map[string]int{}, map[string]int{}
	for _, d := range []Dataset{{2000, 64}, {2000, 65}} { // nor of data sets of other values
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

func TestAValueDoesNotCompress(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, Session, 100_000} {
		d := Dataset{Values: 1, ValueBytes: size}
		v := d.Value([]byte("before"), 0)
		if len(v) != size+6 || string(v[:6]) != "before" {
			t.Errorf("a value of %d bytes was appended as %d", size, len(v)-6)
		}
		var small bytes.Buffer
		w, _ := flate.NewWriter(&small, flate.BestCompression) // a level that there is
		_, _ = w.Write(v[6:])                                  // to memory
		w.Close()
		if small.Len() < size {
			t.Errorf("%d bytes compress to %d", size, small.Len())
		}
	}
}

func BenchmarkValue(b *testing.B) {
	d := Dataset{Values: 1, ValueBytes: Session}
	var v []byte
	b.SetBytes(Session)
	for b.Loop() {
		v = d.Value(v[:0], 7)
	}
}
