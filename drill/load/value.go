package load

import (
	"fmt"
	"hash/crc32"
	"strings"

	"userinfo/drill/history"
)

// A value:
//
//	drill1 SP version SP key SP crc32 LF filler
//
// The filler's length follows from the version, so that values of one key differ in length; the sum is over all of it.
func makeValue(key string, version int64) string {
	filler := strings.Repeat(string(rune('a'+version%26)), 100+int(version*7919%1400))
	return fmt.Sprintf("drill1 %d %s %08x\n%s", version, key, sum(key, version, filler), filler)
}

func sum(key string, version int64, filler string) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %s %s", version, key, filler))
}

// ParseValue reads what makeValue has made. What is not whole is Torn.
func ParseValue(text string) (version int64, key string) {
	head, filler, ok := strings.Cut(text, "\n")
	var crc uint32
	if n, _ := fmt.Sscanf(head, "drill1 %d %s %x", &version, &key, &crc); !ok || n != 3 || version <= 0 || sum(key, version, filler) != crc {
		return history.Torn, ""
	}
	return version, key
}
