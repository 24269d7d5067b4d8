package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// placeholder matches {cn}, which stands for the common name of the client's certificate, and {1} to {9}, which stand for
// the texts that the stars of its CertificateName matched.
var placeholder = regexp.MustCompile(`\{(cn|[1-9])\}`)

// pattern is a parsed key pattern: literal bytes, stars that match any number of bytes, and placeholders.
type pattern struct {
	parts []part // the text between the stars
	text  string
}

// part is a sequence of literals and placeholders. A part without placeholders is one literal.
type part []piece

// piece is a literal or a placeholder.
type piece struct {
	literal string
	name    int // 0 for a literal; commonName; or the number of a star
}

// commonName is the piece.name of {cn}.
const commonName = -1

// parsePattern parses a key pattern. See Client.Keys.
func parsePattern(s string) (pattern, error) {
	if s == "" {
		return pattern{}, errors.New(`empty; write "*" to allow every key`)
	}
	if strings.ContainsAny(placeholder.ReplaceAllLiteralString(s, ""), "{}") {
		return pattern{}, errors.New(`has braces that are not a placeholder; only {cn} and {1} to {9} are allowed`)
	}
	p := pattern{text: s}
	for _, text := range strings.Split(s, "*") {
		p.parts = append(p.parts, parsePart(text))
	}
	return p, p.checkBoundary(unboundedStar)
}

func parsePart(text string) part {
	var pieces part
	for {
		at := placeholder.FindStringIndex(text)
		if at == nil {
			break
		}
		if at[0] > 0 {
			pieces = append(pieces, piece{literal: text[:at[0]]})
		}
		name := commonName
		if c := text[at[0]+1]; c != 'c' {
			name = int(c - '0')
		}
		pieces = append(pieces, piece{name: name})
		text = text[at[1]:]
	}
	if text != "" || len(pieces) == 0 {
		pieces = append(pieces, piece{literal: text})
	}
	return pieces
}

// unboundedStar and unboundedCommonName match a placeholder that is followed by something that a longer name could contain.
// With such a pattern, client tool-a could use keys of client tool-ab.
var (
	unboundedStar       = regexp.MustCompile(`(\{[1-9]\})([*A-Za-z0-9_.{-])`)
	unboundedCommonName = regexp.MustCompile(`(\{cn\})([*A-Za-z0-9_.{-])`)
)

// checkBoundary rejects a pattern that unbounded matches.
func (p pattern) checkBoundary(unbounded *regexp.Regexp) error {
	if m := unbounded.FindStringSubmatch(p.text); m != nil {
		return fmt.Errorf(`%s must not be followed by %q, because one client could then use the keys of another; `+
			`write a character that a name cannot contain, such as :, or end the pattern`, m[1], m[2])
	}
	return nil
}

// stars returns the highest number of a {1} to {9} in the pattern, or 0.
func (p pattern) stars() int {
	highest := 0
	for _, pieces := range p.parts {
		for _, one := range pieces {
			highest = max(highest, one.name)
		}
	}
	return highest
}

// needsCommonName reports whether the pattern contains {cn}.
func (p pattern) needsCommonName() bool {
	for _, pieces := range p.parts {
		for _, one := range pieces {
			if one.name == commonName {
				return true
			}
		}
	}
	return false
}

// matches decides whether key matches the pattern. It fails closed: the zero pattern matches nothing, and a placeholder
// without a value matches nothing. A name is literal text, even if it contains a star or braces.
func (p pattern) matches(key string, names names) bool {
	if len(p.parts) == 0 {
		return false
	}
	for i, pieces := range p.parts {
		literal, ok := pieces.expand(names)
		if !ok {
			return false
		}
		switch last := i == len(p.parts)-1; {
		case i == 0 && last:
			return key == literal
		case i == 0:
			if !strings.HasPrefix(key, literal) {
				return false
			}
			key = key[len(literal):]
		case last:
			return strings.HasSuffix(key, literal)
		default:
			at := strings.Index(key, literal)
			if at < 0 {
				return false
			}
			key = key[at+len(literal):]
		}
	}
	return false
}

// expand returns the part with its placeholders replaced by names. ok is false if a name is missing or empty.
func (p part) expand(names names) (literal string, ok bool) {
	if len(p) == 1 && p[0].name == 0 {
		return p[0].literal, true
	}
	var b strings.Builder
	for _, one := range p {
		text := one.literal
		switch {
		case one.name == commonName:
			text = names.common
		case one.name > 0:
			if names.stars == nil || len(*names.stars) < one.name {
				return "", false
			}
			text = (*names.stars)[one.name-1]
		}
		if one.name != 0 && text == "" {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}
