package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"userinfo/access"
	"userinfo/internal/field"
	"userinfo/schema"
	"userinfo/store"
)

// Collection is one kind of data.
type Collection struct {
	// Name is the collection's name in grants, metrics and logs.
	Name string `yaml:"name"`
	// Path is the URL path below which keys are; default /NAME/v1.
	Path string `yaml:"path"`
	// Table is the table in the keyspace; default NAME.
	Table string `yaml:"table"`
	// Layout is userinfo (default), which is sealed, or kask, which is not sealed, for a table that Kask created.
	Layout store.Layout `yaml:"layout"`
	// ReadThrough is the table from which or to which the collection moves, in the same keyspace: a table of Kask if Layout
	// is userinfo, a sealed table if it is kask. Values are read from both tables, and deleted in both. See
	// store.ReadThrough; default none.
	ReadThrough string `yaml:"read_through"`
	// DefaultTTL is the TTL of a value that is set without a TTL header; whole seconds, default 24h.
	DefaultTTL time.Duration `yaml:"default_ttl"`
	// MaxTTL is the longest TTL that a client may ask for; whole seconds, default DefaultTTL. The table's gc_grace_seconds
	// must be at least as long.
	MaxTTL time.Duration `yaml:"max_ttl"`
	// Fence is the time after a delete during which the key stays deleted; whole seconds up to 1h, default 60s. 0s turns the
	// fence off, for data whose keys are used again.
	Fence *time.Duration `yaml:"fence"`
	// FenceExempt lists patterns of keys that have no fence, such as *:lock, because clients delete them and set them again
	// at once; default none.
	FenceExempt []string `yaml:"fence_exempt"`
	// NotBefore ends values that were set before a time, to log everybody out at once; default none. A reload puts it into
	// force.
	NotBefore []NotBefore `yaml:"not_before"`
	// TouchSlack is a fraction of the TTL that a touch asks for. A touch writes nothing if the remaining TTL differs by at
	// most this fraction. From 0 (every touch writes) to 0.5; default 0.01.
	TouchSlack *float64 `yaml:"touch_slack"`
	// MaxValueBytes is the largest size of a value in bytes, up to store.LargestValue; default 1048576.
	MaxValueBytes int64 `yaml:"max_value_bytes"`
}

func (k *Collection) applyDefaults() {
	setDefault(&k.Path, "/"+k.Name+"/v1")
	setDefault(&k.Table, k.Name)
	setDefault(&k.Layout, store.LayoutUserInfo)
	setDefault(&k.DefaultTTL, 24*time.Hour)
	setDefault(&k.MaxTTL, k.DefaultTTL)
	setDefault(&k.MaxValueBytes, 1<<20)
	setDefaultPointer(&k.Fence, time.Minute)
	setDefaultPointer(&k.TouchSlack, 0.01)
}

// StoreConfig returns the settings that package store needs.
func (k Collection) StoreConfig() store.CollectionConfig {
	exempt, _ := access.ParseKeyPatterns("", k.FenceExempt) // validate reports mistakes; after a mistake, no key is exempt
	return store.CollectionConfig{
		FenceExempt: exempt,
		Name:        k.Name, Table: k.Table, Layout: k.Layout, MaxTTL: k.MaxTTL, Fence: *k.Fence, TouchSlack: *k.TouchSlack,
	}
}

// isMoving reports whether the collection has a table beneath its own.
func (k Collection) isMoving() bool { return k.ReadThrough != "" }

// Beneath returns the settings of the table beneath. ok is false if the collection has only its own table.
func (k Collection) Beneath() (_ store.CollectionConfig, ok bool) {
	c := k.StoreConfig()
	c.Table, c.Layout = k.ReadThrough, store.LayoutKask
	if k.Layout == store.LayoutKask {
		c.Layout = store.LayoutUserInfo
	}
	return c, k.isMoving()
}

// hasSealedTable reports whether the collection needs the seal keys.
func (k Collection) hasSealedTable() bool { return k.Layout != store.LayoutKask || k.isMoving() }

// validateCollections checks each collection, and that no two share a name, a path or a table.
func (c *Config) validateCollections() error {
	if len(c.Collections) == 0 && c.Passwords == nil {
		return field.Errorf("collections", "missing: list at least one collection, or configure passwords")
	}
	var errs []error
	seen := make(map[string]bool)
	for i, k := range c.Collections {
		at := fmt.Sprintf("collections[%d]", i)
		errs = append(errs, k.validate(at))
		for _, unique := range []struct{ field, value string }{{"name", k.Name}, {"path", k.Path}, {"table", k.Table}} {
			if seen[unique.field+unique.value] {
				errs = append(errs, field.Errorf(at+"."+unique.field, "another collection has %q already", unique.value))
			}
			seen[unique.field+unique.value] = true
		}
		if k.isMoving() {
			if seen["table"+k.ReadThrough] {
				errs = append(errs, field.Errorf(at+".read_through", "%q is the table of a collection already; deletes must reach both tables, so no other collection may use one of them", k.ReadThrough))
			}
			seen["table"+k.ReadThrough] = true
		}
		for _, other := range c.Collections {
			if strings.HasPrefix(k.Path, other.Path+"/") {
				errs = append(errs, field.Errorf(at+".path", "%q is below %q, which is another collection's path", k.Path, other.Path))
			}
		}
	}
	return errors.Join(errs...)
}

// identifierRule says what store.IsIdentifier accepts.
const identifierRule = "must be of " + store.IdentifierRule

// reservedNames are names of the service's own resources.
var reservedNames = map[string]bool{access.Metrics: true, access.OpenAPI: true, access.Operators: true, access.Health: true, "healthz": true, "readyz": true}

func (k Collection) validate(at string) error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, field.Errorf(at+"."+name, format, args...))
	}
	if !store.IsIdentifier(k.Name) || reservedNames[k.Name] {
		bad("name", identifierRule+"; metrics, openapi, operators, health, healthz and readyz are reserved")
	}
	if !store.IsIdentifier(k.Table) {
		bad("table", identifierRule)
	}
	if schema.Reserved(k.Table) {
		bad("table", "%q is one of the service's own tables; choose another name", k.Table)
	}
	if k.isMoving() && (!store.IsIdentifier(k.ReadThrough) || schema.Reserved(k.ReadThrough)) {
		bad("read_through", "must be a table that is not one of the service's own, of "+store.IdentifierRule)
	}
	if !isPath(k.Path) {
		bad("path", "must begin with /, must not end with /, and may contain only a-z, 0-9, _, - and single slashes")
	}
	if isOperatorsPath(k.Path) {
		bad("path", "/operators is reserved for the resources of operators; choose another path")
	}
	if !k.Layout.IsValid() {
		bad("layout", "must be userinfo or kask")
	}
	for _, ttl := range []struct {
		name string
		d    time.Duration
	}{{"default_ttl", k.DefaultTTL}, {"max_ttl", k.MaxTTL}} {
		if ttl.name == "max_ttl" && k.MaxTTL == k.DefaultTTL {
			continue // probably the default, and reported already
		}
		if !store.IsTTL(ttl.d) || ttl.d%time.Second != 0 {
			bad(ttl.name, "must be whole seconds, from 1s to %v", store.LargestTTL)
		}
	}
	if k.DefaultTTL > k.MaxTTL {
		bad("default_ttl", "must not be longer than max_ttl (%v)", k.MaxTTL)
	}
	if *k.Fence < 0 || *k.Fence > time.Hour || *k.Fence%time.Second != 0 {
		bad("fence", "must be whole seconds, from 0s (no fence) to 1h")
	}
	errs = append(errs, k.validateFenceExempt(at+".fence_exempt"), k.validateNotBefore(at+".not_before"))
	if !(*k.TouchSlack >= 0 && *k.TouchSlack <= store.MaxTouchSlack) { // written so that NaN fails
		bad("touch_slack", "must be from 0 (every touch writes) to %v", store.MaxTouchSlack)
	}
	if k.MaxValueBytes < 1 || k.MaxValueBytes > store.LargestValue {
		bad("max_value_bytes", "must be from 1 to %d, the largest value that Cassandra stores with its default limits (16 MiB for a mutation and for a request, less %d bytes for the key and overhead)",
			store.LargestValue, store.ValueOverhead)
	}
	return errors.Join(errs...)
}

func (k Collection) validateFenceExempt(at string) error {
	_, err := access.ParseKeyPatterns(at, k.FenceExempt)
	if len(k.FenceExempt) > 0 && *k.Fence == 0 {
		err = errors.Join(err, field.Errorf(at, "has no effect with fence: 0s; remove one of the two"))
	}
	for i, pattern := range k.FenceExempt {
		if pattern != "" && strings.Trim(pattern, "*") == "" {
			err = errors.Join(err, field.Errorf(fmt.Sprintf("%s[%d]", at, i), "exempts every key; if no key needs the logout fence, write fence: 0s instead"))
		}
	}
	return err
}

// isOperatorsPath reports whether a path is where the resources of operators are. The router would refuse a collection there.
func isOperatorsPath(s string) bool {
	return s == "/"+access.Operators || strings.HasPrefix(s, "/"+access.Operators+"/")
}

func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") && !strings.Contains(s, "//") &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-/") == ""
}
