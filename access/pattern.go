package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// placeholder in a key pattern stands for the common name of the client's certificate, {cn}, or for what a star of its
// configured name stood for, {1} to {9}.
var placeholder = regexp.MustCompile(`\{(cn|[1-9])\}`)

// pattern is a key pattern as the configuration has it: literal bytes, * for any run of bytes (none included),
// placeholders for names of the certificate that identified the client.
type pattern struct {
	parts []part // what is between the stars
	text  string
}

// part is a run of pieces. A part without placeholders is one literal.
type part []piece

type piece struct {
	literal string
	name    int // 0: literal; commonName; or the number of a star
}

// commonName is the number of {cn}.
const commonName = -1

func parsePattern(s string) (pattern, error) {
	if s == "" {
		return pattern{}, errors.New(`empty; write "*" for every key`)
	}
	if strings.ContainsAny(placeholder.ReplaceAllLiteralString(s, ""), "{}") {
		return pattern{}, errors.New(`only {cn}, and {1} to {9}, may stand in braces`)
	}
	p := pattern{text: s}
	for _, text := range strings.Split(s, "*") {
		p.parts = append(p.parts, parsePart(text))
	}
	return p, p.bounded(unbounded)
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

// unbounded finds a {1} that a longer name could take for its own: the key space of tool-a must not have that of tool-ab.
// unboundedCommonName does so for {cn}.
var (
	unbounded           = regexp.MustCompile(`(\{[1-9]\})([*A-Za-z0-9_.{-])`)
	unboundedCommonName = regexp.MustCompile(`(\{cn\})([*A-Za-z0-9_.{-])`)
)

// bounded refuses patterns in which a name is not told from what follows, as by finds it.
func (p pattern) bounded(by *regexp.Regexp) error {
	if m := by.FindStringSubmatch(p.text); m != nil {
		return fmt.Errorf(`%s must be followed by a character that a name cannot have, such as :, or end the pattern, and not by %q: `+
			`else the keys of one client would be another's`, m[1], m[2])
	}
	return nil
}

// stars is how many stars of a certificate's name the pattern speaks of.
func (p pattern) stars() int {
	most := 0
	for _, pieces := range p.parts {
		for _, one := range pieces {
			most = max(most, one.name)
		}
	}
	return most
}

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

// matches tells whether key is of the pattern. It fails closed: a pattern with a placeholder matches nothing where
// there is no such name, and a name stands for itself alone, even if it has a * in it.
func (p pattern) matches(key string, of names) bool {
	if len(p.parts) == 0 {
		return false
	}
	for i, pieces := range p.parts {
		literal, ok := pieces.expand(of)
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

// expand puts names where their placeholders are; ok is false where there is no such name.
func (p part) expand(of names) (literal string, ok bool) {
	if len(p) == 1 && p[0].name == 0 {
		return p[0].literal, true
	}
	var b strings.Builder
	for _, one := range p {
		text := one.literal
		switch {
		case one.name == commonName:
			text = of.common
		case one.name > 0:
			if of.stars == nil || len(*of.stars) < one.name {
				return "", false
			}
			text = (*of.stars)[one.name-1]
		}
		if one.name != 0 && text == "" {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}
