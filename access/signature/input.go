package signature

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// input is the content of Signature-Input and Signature.
type input struct {
	components []string // in the order of the signature base
	text       string   // the value of @signature-params (RFC 9421, section 2.3)
	signature  []byte

	created    int64 // seconds since 1970
	expires    int64
	hasExpires bool
	nonce      string
	keyID      string
	algorithm  Algorithm // empty if alg was not sent
}

// parse parses Signature-Input and Signature. It checks only what RFC 9421 requires. See checkProfile for the rest.
//
//	Signature-Input: LABEL=("COMPONENT" …);PARAMETER=VALUE…        a dictionary of inner lists, section 4.1
//	Signature:       LABEL=:BASE64:                                a dictionary of byte sequences, section 4.2
//
// It fails closed: it returns ErrMalformed for one header without the other, for several lines or labels, for a component with
// parameters, for a parameter that is unknown or has another type, and for anything that is not in canonical form.
func parse(h http.Header) (*input, error) {
	label, text, member, err := parseOne(h, inputField, maxInputBytes)
	if err != nil {
		return nil, err
	}
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return nil, malformed(`%s: write =("@method" …), a list in parentheses, after the label`, inputField)
	}
	signed, _, member, err := parseOne(h, signatureField, maxSignatureBytes)
	if err != nil {
		return nil, err
	}
	if signed != label {
		return nil, malformed("%s and %s have different labels; send one signature", inputField, signatureField)
	}
	item, _ := member.(httpsfv.Item)
	signature, ok := item.Value.([]byte)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, malformed("%s: write only =:BASE64: after the label", signatureField)
	}
	in := &input{text: text, signature: signature}
	if err := in.readComponents(list.Items); err != nil {
		return nil, err
	}
	return in, in.readParameters(list.Params)
}

// parseOne parses a header that is a dictionary with one member. text is the member's canonical form.
func parseOne(h http.Header, field string, limit int) (label, text string, member httpsfv.Member, err error) {
	d, line, err := parseDictionary(h, field, limit)
	if err != nil {
		return "", "", nil, err
	}
	names := d.Names()
	if len(names) != 1 {
		return "", "", nil, malformed("%s has %d labels; send one signature", field, len(names))
	}
	member, _ = d.Get(names[0])
	return names[0], strings.TrimPrefix(line[len(names[0]):], "="), member, nil
}

// parseDictionary parses a header with one line and also returns the line. The parser ignores all but the last of several equal
// names, so parseDictionary checks that the parsed dictionary is written as the same line again.
func parseDictionary(h http.Header, field string, limit int) (*httpsfv.Dictionary, string, error) {
	lines := h[field]
	switch {
	case len(lines) == 0:
		return nil, "", malformed("the %s header is missing; send both headers of a signature, or neither", field)
	case len(lines) > 1:
		return nil, "", malformed("there are %d %s headers; send one", len(lines), field)
	case len(lines[0]) > limit:
		return nil, "", malformed("the %s header is longer than %d bytes", field, limit)
	}
	line := strings.Trim(lines[0], " \t")
	d, err := httpsfv.UnmarshalDictionary([]string{line})
	if err != nil {
		return nil, "", malformed("%s is not a dictionary of structured fields (RFC 9651, section 3.2)", field)
	}
	again, err := httpsfv.Marshal(d)
	if err != nil || again != line {
		return nil, "", malformed("%s is not in canonical form, or repeats a name (RFC 9651, section 4.1); use a library to write it", field)
	}
	return d, line, nil
}

// readComponents reads the covered components.
func (in *input) readComponents(items []httpsfv.Item) error {
	if len(items) > maxComponents {
		return malformed("%d components are covered; cover at most %d", len(items), maxComponents)
	}
	for _, item := range items {
		name, ok := item.Value.(string)
		if !ok {
			return malformed("a component is not a string; put each in double quotes")
		}
		if len(item.Params.Names()) > 0 {
			return malformed("component %.40q has a parameter, such as ;sf, ;bs, ;key, ;req or ;tr; cover it without", name)
		}
		if in.covers(name) {
			return malformed("component %.40q is covered twice; cover it once", name)
		}
		in.components = append(in.components, name)
	}
	return nil
}

// readParameters reads the parameters of RFC 9421, section 2.3. tag is not supported: a signature with a tag was made for another
// application.
func (in *input) readParameters(params *httpsfv.Params) error {
	for _, name := range params.Names() {
		value, _ := params.Get(name)
		ok := true
		switch name {
		case "created":
			in.created, ok = value.(int64)
		case "expires":
			in.expires, ok = value.(int64)
			in.hasExpires = true
		case "nonce":
			in.nonce, ok = value.(string)
		case "keyid":
			in.keyID, ok = value.(string)
		case "alg":
			var alg string
			alg, ok = value.(string)
			in.algorithm = Algorithm(alg)
			ok = ok && alg != ""
		default:
			return malformed("parameter %.40q is not supported; leave it out", name)
		}
		if !ok {
			return malformed("parameter %s has the wrong type; created and expires are whole seconds, nonce, keyid and alg are in double quotes", name)
		}
	}
	return nil
}

// checkProfile decides whether in covers what the profile requires for r. It fails closed: a missing parameter or component is
// ErrMalformed.
func (in *input) checkProfile(r Request) error {
	if in.created <= 0 {
		return malformed("parameter created is missing; send the time of signing in seconds since 1970")
	}
	if in.hasExpires && in.expires <= in.created {
		return malformed("the signature expires before it was created; send a later expires, or none")
	}
	if in.nonce == "" || len(in.nonce) > MaxIDBytes {
		return malformed("parameter nonce is missing or longer than %d bytes; send a new random nonce with each request", MaxIDBytes)
	}
	if in.keyID == "" || len(in.keyID) > MaxIDBytes {
		return malformed("parameter keyid is missing or longer than %d bytes", MaxIDBytes)
	}
	switch {
	case !in.covers("@method"):
		return malformed("@method is not covered")
	case !in.covers("@authority"):
		return malformed("@authority is not covered")
	case !in.covers("@target-uri") && (!in.covers("@path") || !in.covers("@query")):
		return malformed("neither @target-uri nor both of @path and @query are covered")
	case len(r.Header[ttlField]) > 0 && !in.covers("ttl"):
		return malformed("the request has a TTL header, but ttl is not covered")
	case r.HasBody && !in.covers("content-digest"):
		return malformed("the request has a body, but content-digest is not covered; send a Content-Digest header (RFC 9530) and cover it")
	}
	return nil
}

// covers reports whether the signature covers component.
func (in *input) covers(component string) bool { return slices.Contains(in.components, component) }
