package api

import (
	"net/http"
	"strconv"
	"time"
)

// ttlHeader is the TTL header (RFC 8030, section 5.2: TTL = 1*DIGIT, in seconds), in the canonical form of net/http.
const ttlHeader = "Ttl"

// maxTTLDigits is the maximum length of the TTL header. Every allowed number of seconds is shorter.
const maxTTLDigits = 10

// parseTTL returns the value of the TTL header. It refuses anything but one whole number of seconds from 1 to largest.
// present is false if there is no TTL header.
func parseTTL(h http.Header, largest time.Duration) (ttl time.Duration, present bool, err error) {
	values := h[ttlHeader]
	if len(values) == 0 {
		return 0, false, nil
	}
	if len(values) > 1 {
		return 0, true, badRequest("There are several TTL headers. Send one.")
	}
	if len(values[0]) > maxTTLDigits {
		return 0, true, badTTL(largest)
	}
	for _, c := range []byte(values[0]) { // ParseInt would accept a sign
		if c < '0' || c > '9' {
			return 0, true, badTTL(largest)
		}
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || n < 1 || n > int64(largest/time.Second) {
		return 0, true, badTTL(largest)
	}
	return time.Duration(n) * time.Second, true, nil
}

func badTTL(largest time.Duration) error {
	return badRequest("The TTL header must be a whole number of seconds from 1 to " + strconv.FormatInt(int64(largest/time.Second), 10) + ".")
}
