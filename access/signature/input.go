package signature

import (
	"net/http"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// input is what the two header fields of a signature say.
type input struct {
	components []string // in the order of the base
	text       string   // the value of @signature-params (RFC 9421, section 2.3)
	signature  []byte

	created    int64 // seconds since 1970
	expires    int64
	hasExpires bool
	nonce      string
	keyID      string
	algorithm  Algorithm // empty where alg was not given
}

// parse reads Signature-Input and Signature. It asks for nothing that RFC 9421 does not: see required.
//
//	Signature-Input: LABEL=("COMPONENT" …);PARAMETER=VALUE…        a dictionary of inner lists, section 4.1
//	Signature:       LABEL=:BASE64:                                a dictionary of byte sequences, section 4.2
//
// It fails closed: one field without the other, several lines or labels, a component with parameters, a parameter that is
// not known or of another type, and whatever is not in canonical form are ErrMalformed.
func parse(h http.Header) (*input, error) {
	label, text, member, err := parseOne(h, inputField, maxInputBytes)
	if err != nil {
		return nil, err
	}
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return nil, malformed(`%s: the label is followed by =("@method" …), a list in brackets`, inputField)
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
		return nil, malformed("%s: the label is followed by =:BASE64: and nothing else", signatureField)
	}
	in := &input{text: text, signature: signature}
	if err := in.readComponents(list.Items); err != nil {
		return nil, err
	}
	return in, in.readParameters(list.Params)
}

// parseOne reads a header field that is a dictionary of one member, of which text is the canonical form.
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

// parseDictionary reads a header field of one line, which it returns, too. The parser lets the last of several equal
// names win, in dictionaries and parameters, so what it read must come to the same line again.
func parseDictionary(h http.Header, field string, limit int) (*httpsfv.Dictionary, string, error) {
	lines := h[field]
	switch {
	case len(lines) == 0:
		return nil, "", malformed("there is no %s header; send it, or no part of a signature", field)
	case len(lines) > 1:
		return nil, "", malformed("there are %d %s headers; send one", len(lines), field)
	case len(lines[0]) > limit:
		return nil, "", malformed("the %s header has more than %d bytes", field, limit)
	}
	line := strings.Trim(lines[0], " \t")
	d, err := httpsfv.UnmarshalDictionary([]string{line})
	if err != nil {
		return nil, "", malformed("%s is not a dictionary of structured fields (RFC 9651, section 3.2)", field)
	}
	again, err := httpsfv.Marshal(d)
	if err != nil || again != line {
		return nil, "", malformed("%s is not in canonical form, or repeats a name (RFC 9651, section 4.1); write it as a library does", field)
	}
	return d, line, nil
}

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

// readParameters reads the parameters of RFC 9421, section 2.3. tag is none of ours: a signature with one was made for
// another application.
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
			return malformed("parameter %.40q is not known here; leave it out", name)
		}
		if !ok {
			return malformed("parameter %s is of the wrong type: created and expires are whole seconds, nonce, keyid and alg are in double quotes", name)
		}
	}
	return nil
}

// required tells whether in has what the profile asks of a signature of r. It fails closed: what is not covered is
// not signed.
func (in *input) required(r Request) error {
	if in.created <= 0 {
		return malformed("parameter created is missing; give the time of signing in seconds since 1970")
	}
	if in.hasExpires && in.expires <= in.created {
		return malformed("the signature expires before it was created; give a later expires, or none")
	}
	if in.nonce == "" || len(in.nonce) > MaxIDBytes {
		return malformed("parameter nonce is missing or longer than %d bytes; give a random one, new for each request", MaxIDBytes)
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
		return malformed("there is a TTL header and ttl is not covered")
	case r.HasBody && !in.covers("content-digest"):
		return malformed("there is a body and content-digest is not covered; send a Content-Digest header (RFC 9530) and cover it")
	}
	return nil
}

func (in *input) covers(component string) bool { return slices.Contains(in.components, component) }
