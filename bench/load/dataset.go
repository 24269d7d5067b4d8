package load

import "encoding/binary"

// Dataset is so many values of one size. Key and value follow from the index alone, so that a data set is the prefix of
// every larger one with values of that size, and whoever knows its size can ask for it.
type Dataset struct {
	Values     int
	ValueBytes int
}

// DatasetOf is as many values as bytes hold, one at least.
func DatasetOf(bytes int64, valueBytes int) Dataset {
	return Dataset{Values: max(int(bytes/int64(valueBytes)), 1), ValueBytes: valueBytes}
}

// Bytes is of all values, without keys.
func (d Dataset) Bytes() int64 { return int64(d.Values) * int64(d.ValueBytes) }

// Key looks like MediaWiki's for a session: enwiki:MWSession:, and 32 hexadecimal digits. There is one for any i, in the
// data set or beyond it.
func (d Dataset) Key(i int) string {
	return sessionKey(mix(uint64(d.ValueBytes)), uint64(i))
}

// Value appends the i-th value, which looks random: it does not compress.
func (d Dataset) Value(dst []byte, i int) []byte {
	state := mix(mix(uint64(d.ValueBytes)) ^ uint64(i))
	for left := d.ValueBytes; left > 0; left -= 8 {
		state += golden
		dst = binary.LittleEndian.AppendUint64(dst, mix(state))
		if left < 8 {
			dst = dst[:len(dst)-(8-left)]
		}
	}
	return dst
}

const keyPrefix = "enwiki:MWSession:"

// sessionKey is the i-th key of a family of keys.
func sessionKey(family, i uint64) string {
	const digits = "0123456789abcdef"
	key := make([]byte, 0, len(keyPrefix)+32)
	key = append(key, keyPrefix...)
	// Both halves are one-to-one in i, so that no two keys of a family are the same.
	for _, half := range [2]uint64{mix(i ^ family), mix(mix(i+golden) ^ family)} {
		for shift := 60; shift >= 0; shift -= 4 {
			key = append(key, digits[half>>shift&15])
		}
	}
	return string(key)
}

const golden = 0x9e3779b97f4a7c15

// mix is SplitMix64's finalizer: a permutation of 64 bits that looks random.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
