package load

import "encoding/binary"

// Dataset is a number of values of one size. Keys and values follow from their index, so a data set is the beginning of
// every larger one with values of the same size.
type Dataset struct {
	Values     int
	ValueBytes int
}

// DatasetOf returns a data set of a total size, with at least one value.
func DatasetOf(bytes int64, valueBytes int) Dataset {
	return Dataset{Values: max(int(bytes/int64(valueBytes)), 1), ValueBytes: valueBytes}
}

// Bytes returns the size of all values, without keys.
func (d Dataset) Bytes() int64 { return int64(d.Values) * int64(d.ValueBytes) }

// Key returns a key that looks like a MediaWiki session's: enwiki:MWSession: and 32 hexadecimal digits. Every index has
// one, also beyond the data set.
func (d Dataset) Key(i int) string { return sessionKey(mix64(uint64(d.ValueBytes)), uint64(i)) }

// Value appends the value with an index. It looks random, so it cannot be compressed.
func (d Dataset) Value(dst []byte, i int) []byte {
	state := mix64(mix64(uint64(d.ValueBytes)) ^ uint64(i))
	for left := d.ValueBytes; left > 0; left -= 8 {
		state += golden
		dst = binary.LittleEndian.AppendUint64(dst, mix64(state))
		if left < 8 {
			dst = dst[:len(dst)-(8-left)]
		}
	}
	return dst
}

const keyPrefix = "enwiki:MWSession:"

// sessionKey returns the i-th key of a family of keys. Keys of one family never collide: both halves are one-to-one in i.
func sessionKey(family, i uint64) string {
	const digits = "0123456789abcdef"
	key := make([]byte, 0, len(keyPrefix)+32)
	key = append(key, keyPrefix...)
	for _, half := range [2]uint64{mix64(i ^ family), mix64(mix64(i+golden) ^ family)} {
		for shift := 60; shift >= 0; shift -= 4 {
			key = append(key, digits[half>>shift&15])
		}
	}
	return string(key)
}

const golden = 0x9e3779b97f4a7c15

// mix64 is the finalizer of SplitMix64: a permutation of 64-bit numbers that looks random.
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
