package coordinator

import (
	"encoding/hex"
	"math"
	"testing"
)

func TestTokenOf_IsCassandras(t *testing.T) {
	const digits = "0123456789012345678"
	// By length of the key. Cassandra computes the same: SELECT token(key).
	for length, want := range []uint64{
		0x0000000000000000, 0x2ac9debed546a380, 0x649e4eaa7fc1708e, 0xce68f60d7c353bdb, 0x0f95757ce7f38254,
		0x0f04e459497f3fc1, 0x88c0a92586be0a27, 0x13eb9fb82606f7a6, 0x8236039b7387354d, 0x4c1e87519fe738ba,
		0x3f9652ac3effeb24, 0x3f33760ded9006c6, 0xaed70a6631854cb1, 0x8a299a8f8e0e2da7, 0x624b675c779249a6,
		0xa4b203bb1d90b9a3, 0xa3293ad698ecb99a, 0xbc740023dbd50048, 0x3fe5ab9837d25cdd, 0x2d0338c1ca87d132,
	} {
		if got := tokenOf([]byte(digits[:length])); got != int64(want) {
			t.Errorf("%d bytes: got %x, want %x", length, uint64(got), want)
		}
	}
	withSign, err := hex.DecodeString("00104327529fb645dd00b883ec39ae448bb800000400066a6b00")
	if err != nil {
		t.Fatal(err)
	}
	if got := tokenOf(withSign); got != -9223371632693506265 {
		t.Errorf("bytes above 127 in the last block: got %d", got)
	}
}

func FuzzTokenOf(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("sixteen bytes ok"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if tokenOf(key) == math.MinInt64 {
			t.Error("a token that no partition has")
		}
	})
}
