package load

import (
	"fmt"
	"hash/crc32"
	"strings"

	"userinfo/drill/history"
)

// makeValue returns the value that a set writes:
//
//	drill1 SP version SP key SP crc32 LF filler
//
// The length of the filler depends on the version, so the values of a key differ in length. The checksum covers everything.
func makeValue(key string, version int64) string {
	filler := strings.Repeat(string(rune('a'+version%26)), 100+int(version*7919%1400))
	return fmt.Sprintf("drill1 %d %s %08x\n%s", version, key, checksum(key, version, filler), filler)
}

func checksum(key string, version int64, filler string) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %s %s", version, key, filler))
}

// ParseValue returns the version and the key of a value that a set wrote. It returns history.Torn if the value is damaged.
func ParseValue(text string) (version int64, key string) {
	head, filler, ok := strings.Cut(text, "\n")
	var crc uint32
	if n, _ := fmt.Sscanf(head, "drill1 %d %s %x", &version, &key, &crc); !ok || n != 3 || version <= 0 || checksum(key, version, filler) != crc {
		return history.Torn, ""
	}
	return version, key
}
