package api

import (
	"net/http"
	"strconv"
	"time"
)

// ttlHeader is RFC 8030's, section 5.2: TTL = 1*DIGIT, in seconds.
const ttlHeader = "Ttl" // as net/http spells it

// maxTTLDigits is more than any number of seconds that could be allowed.
const maxTTLDigits = 10

// parseTTL reads the TTL header; present is false where there is none.
func parseTTL(h http.Header, largest time.Duration) (ttl time.Duration, present bool, err error) {
	values := h[ttlHeader]
	if len(values) == 0 {
		return 0, false, nil
	}
	if len(values) > 1 {
		return 0, true, badRequest("There are several TTL headers. Send one.")
	}
	for _, c := range []byte(values[0]) {
		if c < '0' || c > '9' {
			return 0, true, badTTL(largest)
		}
	}
	if len(values[0]) > maxTTLDigits {
		return 0, true, badTTL(largest)
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
