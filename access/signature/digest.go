package signature

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"

	"github.com/dunglas/httpsfv"
)

// digests are the digests in a Content-Digest header. A digest that was not sent is nil.
type digests struct{ sha256, sha512 []byte }

// parseDigests parses the Content-Digest header. It ignores other algorithms, as RFC 9530, section 2, requires.
//
//	Content-Digest: sha-256=:BASE64:, sha-512=:BASE64:
//
// It fails closed: for a header without either algorithm it returns ErrMalformed.
func parseDigests(h http.Header) (digests, error) {
	d, _, err := parseDictionary(h, digestField, maxDigestBytes)
	if err != nil {
		return digests{}, err
	}
	var got digests
	if got.sha256, err = digestIn(d, "sha-256", sha256.Size); err != nil {
		return digests{}, err
	}
	if got.sha512, err = digestIn(d, "sha-512", sha512.Size); err != nil {
		return digests{}, err
	}
	if !got.sent() {
		return digests{}, malformed("%s has neither sha-256 nor sha-512; send one of them", digestField)
	}
	return got, nil
}

// digestIn returns the digest of one algorithm, or nil if it was not sent.
func digestIn(d *httpsfv.Dictionary, name string, size int) ([]byte, error) {
	member, there := d.Get(name)
	if !there {
		return nil, nil
	}
	item, _ := member.(httpsfv.Item)
	sum, ok := item.Value.([]byte)
	if !ok || len(sum) != size {
		return nil, malformed("%s: %s is not =:BASE64: with %d bytes", digestField, name, size)
	}
	return sum, nil
}

// sent reports whether there is a digest.
func (d digests) sent() bool { return d.sha256 != nil || d.sha512 != nil }

// match reports whether every digest matches body. It fails closed: without a digest, no body matches.
func (d digests) match(body []byte) bool {
	if !d.sent() {
		return false
	}
	if d.sha256 != nil {
		if sum := sha256.Sum256(body); !bytes.Equal(sum[:], d.sha256) {
			return false
		}
	}
	if d.sha512 != nil {
		if sum := sha512.Sum512(body); !bytes.Equal(sum[:], d.sha512) {
			return false
		}
	}
	return true
}

// contentDigest returns the Content-Digest header of body.
func contentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
