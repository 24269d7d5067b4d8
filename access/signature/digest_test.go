package signature

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestParseDigests_RejectsMalformedHeader(t *testing.T) {
	for name, digest := range map[string]string{
		"no algorithm": "", "an algorithm alone": "sha-256", "in quotes": `sha-256="AAAA"`, "short": "sha-256=:AAAA:", "one of another length": "sha-512=" + contentDigest(nil)[8:],
		"md5 alone": "md5=:AAAA:", "twice": contentDigest(nil) + ", " + contentDigest(nil), "a list": "sha-256=(:AAAA:)", "long": "x=:" + strings.Repeat("AAAA", 200) + ":",
	} {
		if d, err := parseDigests(http.Header{"Content-Digest": {digest}}); !errors.Is(err, ErrMalformed) || d.sent() {
			t.Errorf("Content-Digest, %s: %v", name, err)
		}
	}
}

func TestDigests_Match(t *testing.T) {
	if (digests{}).match(nil) || (digests{}).match(body) {
		t.Error("a body matches without a digest")
	}
	d, err := parseDigests(http.Header{"Content-Digest": {contentDigest(body)}})
	if err != nil || !d.match(body) || d.match(nil) || d.match(body[1:]) {
		t.Errorf("digest of the body: error %v, match %v, of no body %v", err, d.match(body), d.match(nil))
	}
}
