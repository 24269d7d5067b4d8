package signature

import (
	"net/http"
	"strings"
)

// base returns the signature base, which is the text that is signed (RFC 9421, section 2.5). params is the value of
// @signature-params.
//
//	"@method": PUT
//	"@authority": userinfo.example:8443
//	"ttl": 3600
//	"@signature-params": ("@method" "@authority" "ttl");created=1618884473;keyid="wiki"
//
// No value contains a newline, so a value cannot add a line.
func base(r Request, components []string, params string) (string, error) {
	var b strings.Builder
	b.Grow(512)
	for _, name := range components {
		value, err := component(r, name)
		if err != nil {
			return "", err
		}
		b.WriteByte('"')
		b.WriteString(name)
		b.WriteString(`": `)
		b.WriteString(value)
		b.WriteByte('\n')
	}
	b.WriteString(`"@signature-params": `)
	b.WriteString(params)
	return b.String(), nil
}

// component returns the value of a component of r. It fails closed: for an unknown component, and for one that r does not have,
// it returns ErrMalformed.
func component(r Request, name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		return field(r.Header, name)
	}
	switch name {
	case "@method":
		if r.Method == "" || !sendable(r.Method) {
			return "", malformed("the method is empty or contains a character that is not allowed")
		}
		return r.Method, nil
	case "@authority":
		return authority(r.Authority)
	case "@path":
		return r.path()
	case "@query":
		return r.query()
	case "@target-uri":
		a, err := authority(r.Authority)
		if err != nil {
			return "", err
		}
		path, err := r.path()
		if err != nil || !r.HasQuery {
			return "https://" + a + path, err
		}
		query, err := r.query()
		return "https://" + a + path + query, err
	}
	return "", malformed("component %.40q is not supported; cover @method, @authority and @target-uri", name)
}

// authority returns the value of @authority (RFC 9421, section 2.2.3): the host in lower case, without the default port.
func authority(sent string) (string, error) {
	if sent == "" || strings.ContainsFunc(sent, notInAuthority) {
		return "", malformed("the Host header is not a host with an optional port")
	}
	a := strings.ToLower(sent)
	a = strings.TrimSuffix(strings.TrimSuffix(a, ":443"), ":")
	if a == "" {
		return "", malformed("the Host header has no host")
	}
	return a, nil
}

// notInAuthority reports whether r is not allowed in uri-host [":" port] (RFC 3986, section 3.2.2). A percent sign, which would
// begin a zone or an encoded character, is not allowed either.
func notInAuthority(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._~!$&'()*+,;=:[]", r)
}

// path returns the value of @path (RFC 9421, section 2.2.6), which is not decoded.
func (r Request) path() (string, error) {
	if r.Path == "" {
		return "/", nil
	}
	if r.Path[0] != '/' || !sendable(r.Path) || strings.ContainsAny(r.Path, "?#") {
		return "", malformed("the path does not begin with a slash, or contains a byte that must be percent-encoded")
	}
	return r.Path, nil
}

// query returns the value of @query (RFC 9421, section 2.2.7), with its question mark. Without a query it is "?".
func (r Request) query() (string, error) {
	if !r.HasQuery {
		return "?", nil
	}
	if !sendable(r.Query) || strings.Contains(r.Query, "#") {
		return "", malformed("the query contains a byte that must be percent-encoded")
	}
	return "?" + r.Query, nil
}

// sendable reports whether s contains only visible ASCII characters.
func sendable(s string) bool { return printable(s) && !strings.Contains(s, " ") }

// field returns the value of a header field (RFC 9421, section 2.1): its trimmed lines, joined by ", ". net/http has already
// removed line folding. A newline that is still there is an error.
func field(h http.Header, name string) (string, error) {
	if name == "" || strings.ToLower(name) != name || !printable(name) || strings.ContainsAny(name, " \"\\:") {
		return "", malformed("component %.40q is not the name of a header in lower case", name)
	}
	switch name {
	case "host":
		return "", malformed("component host is not supported; cover @authority")
	case "signature", "signature-input":
		return "", malformed("component %s cannot be covered by the signature itself", name)
	}
	lines := h[http.CanonicalHeaderKey(name)]
	if len(lines) == 0 {
		return "", malformed("component %.40q is covered, but the header is missing; send it, or do not cover it", name)
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.Trim(line, " \t")
		if strings.ContainsFunc(trimmed[i], func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			return "", malformed("the header of component %.40q contains a newline or another character that is not printable ASCII", name)
		}
	}
	return strings.Join(trimmed, ", "), nil
}
