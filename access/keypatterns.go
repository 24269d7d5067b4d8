package access

import (
	"errors"
	"fmt"

	"userinfo/internal/field"
)

// KeyPatterns are key patterns that do not depend on a client, such as enwiki:*. A star matches any number of bytes. The
// zero KeyPatterns match no key.
type KeyPatterns struct{ patterns []pattern }

// ParseKeyPatterns parses patterns. path is the place of the list in the configuration.
func ParseKeyPatterns(path string, patterns []string) (KeyPatterns, error) {
	var (
		k    KeyPatterns
		errs []error
	)
	for i, s := range patterns {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := parsePattern(s)
		switch {
		case s == "":
			errs = append(errs, field.Errorf(at, "empty; write a key, or a pattern such as *:lock"))
		case err != nil:
			errs = append(errs, &field.Error{Path: at, Err: err})
		case p.needsCommonName() || p.stars() > 0:
			errs = append(errs, field.Errorf(at, "%q has a placeholder, which only the key patterns of a client can have", s))
		default:
			k.patterns = append(k.patterns, p)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return KeyPatterns{}, err
	}
	return k, nil
}

// Match reports whether a pattern matches key.
func (k KeyPatterns) Match(key Key) bool {
	for _, p := range k.patterns {
		if p.matches(string(key), names{}) {
			return true
		}
	}
	return false
}
