package api

import (
	"net/http"
	"net/url"
	"strings"

	"userinfo/access"
)

// sentPath is the path of the request as it was sent, still escaped. URL.EscapedPath is not: where it meets a byte
// that should have been escaped it escapes the decoded path anew, and %2F becomes a slash.
//
//	origin form     /sessions/v1/a%2Fb?query                 HTTP/1.1, and :path of HTTP/2
//	absolute form   https://host:port/sessions/v1/a%2Fb      RFC 9112, section 3.2.2
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") {
		return path
	}
	if _, rest, found := strings.Cut(path, "://"); found {
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:]
		}
	}
	return "/" // such as *: no route has it
}

// parseKey decodes one path segment. Every byte is possible in a key, a slash (%2F) and NUL (%00) included.
func parseKey(segment string) (access.Key, error) {
	key, err := url.PathUnescape(segment)
	if err != nil {
		return "", badRequest("The key has a % that is not followed by two hexadecimal digits. Write a % as %25.")
	}
	if len(key) > MaxKeyBytes {
		return "", errKeyTooLong
	}
	if key == "" {
		return "", errNoRoute
	}
	return access.Key(key), nil
}
