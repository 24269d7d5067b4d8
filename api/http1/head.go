package http1

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// refusal is why what came is no request.
type refusal struct {
	status int
	detail string // says what to change
}

func malformed(detail string) *refusal { return &refusal{http.StatusBadRequest, detail} }

// Refusals of headers.
var (
	errLine    = malformed("The request line is not a method, a target and HTTP/1.1, each after one space.")
	errTarget  = malformed("The request target is no URL: a % that is not followed by two hexadecimal digits is %25, a space %20.")
	errVersion = &refusal{http.StatusHTTPVersionNotSupported, "Speak HTTP/1.1 or, as ALPN has offered it, HTTP/2."}
	errFolded  = malformed("A header goes over several lines. Write each on one.")
	errName    = malformed("A header line has no name, or one with other characters than RFC 9110 has for it, right before its colon.")
	errValue   = malformed("The value of a header has control characters.")
	errHost    = malformed("Send one Host header, with the name or the address that was asked.")
	errCoding  = malformed("Send one Transfer-Encoding, which is chunked, over HTTP/1.1, or none.")
	errLength  = malformed("Send one Content-Length, which is a number of bytes, or none.")
	errBoth    = malformed("Send either Content-Length or Transfer-Encoding.")
	errExpect  = malformed("The only expectation is 100-continue.")

	errHeaderTooLarge = &refusal{http.StatusRequestHeaderFieldsTooLarge, "The request line and the headers are too large."}
	errManyFields     = &refusal{http.StatusRequestHeaderFieldsTooLarge, "There are more header lines than " + strconv.Itoa(maxFields) + "."}
	errSlowHeader     = &refusal{http.StatusRequestTimeout, "The header did not arrive in time."}
)

// maxFields bounds the header lines of a request. A map of them is used again, and costs what the largest did.
const maxFields = 100

// parse fills r in from head, which ends with its empty line. Of r it uses the header's map again, and values for the header's.
//
//	GET /sessions/v1/k HTTP/1.1 CR LF          method SP target SP version
//	Host: userinfo.example CR LF               token ":" OWS value OWS
//	CR LF
//
// It is stricter than net/http wherever that would have to choose between two readings. It fails closed.
func parse(r *http.Request, head string, values []string) ([]string, *refusal) {
	line, rest := cutLine(head)
	if no := parseLine(r, line); no != nil {
		return values, no
	}
	clear(r.Header)
	for fields := 0; ; {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		name, value, no := parseField(line)
		if no != nil {
			return values, no
		}
		if fields++; fields > maxFields {
			return values, errManyFields
		}
		if have := r.Header[name]; have != nil {
			r.Header[name] = append(have, value)
			continue
		}
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return values, frame(r)
}

// cutLine cuts the first line off text. A line ends with LF or CR LF.
func cutLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

func parseLine(r *http.Request, line string) *refusal {
	method, rest, ok1 := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !httpguts.ValidHeaderFieldName(method) { // both are tokens
		return errLine
	}
	switch version {
	case "HTTP/1.1":
		r.ProtoMinor = 1
	case "HTTP/1.0":
		r.ProtoMinor = 0
	default:
		if _, _, ok := http.ParseHTTPVersion(version); ok {
			return errVersion
		}
		return errLine
	}
	r.Method, r.RequestURI, r.Proto, r.ProtoMajor = method, target, version, 1
	authority := method == http.MethodConnect && !strings.HasPrefix(target, "/")
	if authority {
		target = "http://" + target
	}
	var err error
	if r.URL, err = url.ParseRequestURI(target); err != nil {
		return errTarget
	}
	if authority {
		r.URL.Scheme = ""
	}
	return nil
}

func parseField(line string) (name, value string, no *refusal) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", errFolded // obs-fold, section 5.2
	}
	name, value, _ = strings.Cut(line, ":")
	if len(name) == len(line) || !httpguts.ValidHeaderFieldName(name) {
		return "", "", errName
	}
	if value = strings.Trim(value, " \t"); !httpguts.ValidHeaderFieldValue(value) {
		return "", "", errValue
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// frame tells from r's header whom it is for and where it ends: r.Host, r.ContentLength, which is -1 for a chunked body,
// r.TransferEncoding and r.Close. It fails closed.
func frame(r *http.Request) *refusal {
	h := r.Header
	host := h["Host"]
	if len(host) > 1 || len(host) == 0 && r.ProtoMinor > 0 && r.Method != http.MethodConnect || len(host) == 1 && !httpguts.ValidHostHeader(host[0]) {
		return errHost
	}
	if r.Host = r.URL.Host; r.Host == "" && len(host) == 1 { // absolute form overrides it: section 3.2.2
		r.Host = host[0]
	}
	delete(h, "Host")
	if e := h["Expect"]; len(e) > 0 && (len(e) > 1 || !strings.EqualFold(e[0], "100-continue")) {
		return errExpect
	}
	r.Close = r.ProtoMinor == 0 || httpguts.HeaderValuesContainsToken(h["Connection"], "close")
	r.ContentLength, r.TransferEncoding = 0, nil
	length, coding := h["Content-Length"], h["Transfer-Encoding"]
	switch {
	case len(length) > 0 && len(coding) > 0:
		return errBoth
	case len(length) > 0:
		n, err := strconv.ParseUint(length[0], 10, 63)
		if err != nil || len(length) > 1 || length[0][0] == '+' {
			return errLength
		}
		r.ContentLength = int64(n)
	case len(coding) > 0:
		if len(coding) > 1 || !strings.EqualFold(coding[0], "chunked") || r.ProtoMinor == 0 {
			return errCoding
		}
		delete(h, "Transfer-Encoding")
		r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
	}
	return nil
}
