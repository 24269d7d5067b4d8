package config

import (
	"errors"
	"fmt"
	"time"

	"userinfo/access"
	"userinfo/internal/field"
	"userinfo/store"
)

// NotBefore ends values that were set before a time, to log everybody out at once: see store.NotBefore.
type NotBefore struct {
	// Keys are patterns of the keys whose values end, such as enwiki:*; default every key.
	Keys []string `yaml:"keys"`
	// Time is a time in the form of RFC 3339, such as 2026-11-29T06:00:00Z. It must not be in the future, because clients
	// would lose each value that they set until then.
	Time string `yaml:"time"`
}

// rule parses n. at is its place in the configuration.
func (n NotBefore) rule(at string) (store.NotBefore, error) {
	patterns := n.Keys
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	keys, err := access.ParseKeyPatterns(at+".keys", patterns)
	t, timeErr := time.Parse(time.RFC3339, n.Time)
	if timeErr != nil {
		err = errors.Join(err, field.Errorf(at+".time", "must be a time such as 2026-11-29T06:00:00Z (RFC 3339)"))
	}
	return store.NotBefore{Keys: keys, Time: t}, err
}

// validateNotBefore checks the form of each rule. notBeforeRules checks the times.
func (k Collection) validateNotBefore(at string) (err error) {
	for i, n := range k.NotBefore {
		_, wrong := n.rule(fmt.Sprintf("%s[%d]", at, i))
		err = errors.Join(err, wrong)
	}
	return err
}

// notBeforeRules returns the rules of each collection. It fails if a time is after now.
func (c *Config) notBeforeRules(now time.Time) (map[string][]store.NotBefore, error) {
	all := make(map[string][]store.NotBefore)
	var errs []error
	for i, k := range c.Collections {
		for j, n := range k.NotBefore {
			at := fmt.Sprintf("collections[%d].not_before[%d]", i, j)
			rule, err := n.rule(at)
			if rule.Time.After(now) {
				err = errors.Join(err, field.Errorf(at+".time", "is in the future: until then, clients would lose each value that they set. Wait, or write an earlier time"))
			}
			errs = append(errs, err)
			all[k.Name] = append(all[k.Name], rule)
		}
	}
	return all, errors.Join(errs...)
}
