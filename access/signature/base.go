package signature

import (
	"net/http"
	"strings"
)

// base is the text that is signed (RFC 9421, section 2.5). params is the value of @signature-params.
//
//	"@method": PUT
//	"@authority": userinfo.example:8443
//	"ttl": 3600
//	"@signature-params": ("@method" "@authority" "ttl");created=1618884473;keyid="wiki"
//
// No value has a line end, so that none can pass for another line.
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

// component is the value of a component of r. It fails closed: one that is not known, or that r does not have, is
// ErrMalformed.
func component(r Request, name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		return field(r.Header, name)
	}
	switch name {
	case "@method":
		if r.Method == "" || !sendable(r.Method) {
			return "", malformed("the method cannot be sent")
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
	return "", malformed("component %.40q is not known here; cover @method, @authority and @target-uri", name)
}

// authority is RFC 9421's, section 2.2.3: the host in lower case, without https's default port.
func authority(sent string) (string, error) {
	if sent == "" || strings.ContainsFunc(sent, notInAuthority) {
		return "", malformed("the Host header is not a host and, perhaps, a port")
	}
	a := strings.ToLower(sent)
	a = strings.TrimSuffix(strings.TrimSuffix(a, ":443"), ":")
	if a == "" {
		return "", malformed("the Host header has no host")
	}
	return a, nil
}

// notInAuthority tells of a character that has no place in uri-host [":" port] (RFC 3986, section 3.2.2); a zone's or an
// encoded character's percent sign is not used with https.
func notInAuthority(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._~!$&'()*+,;=:[]", r)
}

// path is RFC 9421's, section 2.2.6: not decoded.
func (r Request) path() (string, error) {
	if r.Path == "" {
		return "/", nil
	}
	if r.Path[0] != '/' || !sendable(r.Path) || strings.ContainsAny(r.Path, "?#") {
		return "", malformed("the path has a byte that must be percent-encoded, or is none")
	}
	return r.Path, nil
}

// query is RFC 9421's, section 2.2.7: with its question mark, which is all of a query that is not there.
func (r Request) query() (string, error) {
	if !r.HasQuery {
		return "?", nil
	}
	if !sendable(r.Query) || strings.Contains(r.Query, "#") {
		return "", malformed("the query has a byte that must be percent-encoded")
	}
	return "?" + r.Query, nil
}

// sendable tells whether s is of visible ASCII characters.
func sendable(s string) bool { return printable(s) && !strings.Contains(s, " ") }

// field is the value of a header field (RFC 9421, section 2.1): its lines, trimmed, with ", " between. net/http has
// unfolded them by then, as that section asks; a line end that is still there is refused.
func field(h http.Header, name string) (string, error) {
	if name == "" || strings.ToLower(name) != name || !printable(name) || strings.ContainsAny(name, " \"\\:") {
		return "", malformed("component %.40q is no name of a header field in lower case", name)
	}
	switch name {
	case "host":
		return "", malformed("component host is not known here; cover @authority")
	case "signature", "signature-input":
		return "", malformed("component %s cannot be covered: it is what is being made", name)
	}
	lines := h[http.CanonicalHeaderKey(name)]
	if len(lines) == 0 {
		return "", malformed("component %.40q is covered and there is no such header; send it, or do not cover it", name)
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.Trim(line, " \t")
		if strings.ContainsFunc(trimmed[i], func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
			return "", malformed("the header of component %.40q has a line end or another character that is not printable ASCII", name)
		}
	}
	return strings.Join(trimmed, ", "), nil
}
