package api

import (
	"net/http"
	"net/url"
	"strings"

	"userinfo/access"
)

// sentPath returns the path of the request as it was sent, still percent-encoded. URL.EscapedPath is not the same: if the
// client did not encode a byte that must be encoded, EscapedPath encodes the decoded path again, and %2F becomes a slash.
//
//	/sessions/v1/a%2Fb?query               origin form: HTTP/1.1, and :path of HTTP/2
//	https://host:port/sessions/v1/a%2Fb    absolute form (RFC 9112, section 3.2.2), HTTP/1.1 only
//
// For any other form, such as *, it returns /, which has no route. net/http accepts a space and the absolute form in :path of
// HTTP/2 (RFC 9113, section 8.3.1, forbids both). A proxy that compares :path with its rules would see another path.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.Contains(path, " ") {
		return "/"
	}
	if strings.HasPrefix(path, "/") {
		return path
	}
	if r.ProtoMajor > 1 {
		return "/"
	}
	if _, rest, found := strings.Cut(path, "://"); found {
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:]
		}
	}
	return "/"
}

// parseKey decodes one path segment. A key may contain any byte, including a slash (%2F) and NUL (%00). It has 1 to
// MaxKeyBytes bytes.
func parseKey(segment string) (access.Key, error) {
	key, err := url.PathUnescape(segment)
	if err != nil {
		return "", badRequest("The key has a % that is not followed by two hexadecimal digits. Write a % as %25.")
	}
	if len(key) > MaxKeyBytes {
		return "", errKeyTooLong
	}
	if key == "" {
		return "", errNoResource
	}
	return access.Key(key), nil
}
