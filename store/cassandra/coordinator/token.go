package coordinator

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Constants of MurmurHash3 (x64, 128 bits).
const (
	murmur1 uint64 = 0x87c37b91114253d5
	murmur2 uint64 = 0x4cf5ad432745937f
)

// tokenOf returns the token of a partition key, as Cassandra's Murmur3Partitioner computes it: the first half of the
// key's MurmurHash3. Cassandra reads the bytes of the last, incomplete block as signed numbers. The original hash does
// not.
func tokenOf(key []byte) int64 {
	var h1, h2 uint64
	rest := key
	for ; len(rest) >= 16; rest = rest[16:] {
		h1 ^= mixLow(binary.LittleEndian.Uint64(rest))
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= mixHigh(binary.LittleEndian.Uint64(rest[8:]))
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	}
	var k1, k2 uint64
	for i, b := range rest {
		signed := uint64(int64(int8(b)))
		if i < 8 {
			k1 ^= signed << (8 * i)
		} else {
			k2 ^= signed << (8 * (i - 8))
		}
	}
	h1 ^= mixLow(k1) ^ uint64(len(key))
	h2 ^= mixHigh(k2) ^ uint64(len(key))
	h1 += h2
	h2 += h1
	token := int64(finish(h1) + finish(h2))
	if token == math.MinInt64 { // no partition has this token: it is the lower end of the ring
		return math.MaxInt64
	}
	return token
}

func mixLow(k uint64) uint64  { return bits.RotateLeft64(k*murmur1, 31) * murmur2 }
func mixHigh(k uint64) uint64 { return bits.RotateLeft64(k*murmur2, 33) * murmur1 }

func finish(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
