package signature

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"

	"github.com/dunglas/httpsfv"
)

// digests is what a Content-Digest header says of a body; nil where it says nothing.
type digests struct{ sha256, sha512 []byte }

// parseDigests reads the Content-Digest header. Algorithms other than these two are passed over, as RFC 9530, section 2,
// has it.
//
//	Content-Digest: sha-256=:BASE64:, sha-512=:BASE64:
//
// It fails closed: a header with neither is ErrMalformed.
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
	if !got.given() {
		return digests{}, malformed("%s has neither sha-256 nor sha-512; give one of them", digestField)
	}
	return got, nil
}

// digestIn is nil where there is none.
func digestIn(d *httpsfv.Dictionary, name string, size int) ([]byte, error) {
	member, there := d.Get(name)
	if !there {
		return nil, nil
	}
	item, _ := member.(httpsfv.Item)
	sum, ok := item.Value.([]byte)
	if !ok || len(sum) != size {
		return nil, malformed("%s: %s is not =:BASE64: of %d bytes", digestField, name, size)
	}
	return sum, nil
}

func (d digests) given() bool { return d.sha256 != nil || d.sha512 != nil }

// match tells whether every digest is the body's. It fails closed: where there is none, nothing matches.
func (d digests) match(body []byte) bool {
	if !d.given() {
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

// contentDigest is the header for a body.
func contentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
