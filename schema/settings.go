package schema

import (
	"context"
	"errors"
	"slices"
)

// inspectSettings checks settings of Cassandra that the service depends on. It sees only the node that answers.
func inspectSettings(ctx context.Context, db DB, s Spec) ([]finding, error) {
	names := []string{maximumTimestamp, minimumTimestamp, authenticator, authorizer, authConsistency}
	for _, l := range sizeLimits {
		names = append(names, l.name, l.oldName)
	}
	settings, err := readSettings(ctx, db, slices.DeleteFunc(names, func(name string) bool { return name == "" }))
	var found []finding
	if isUnauthorized(err) {
		// Only an authorizer refuses, so there is one. The other settings count as not set.
		settings = map[string]string{authorizer: "an authorizer"}
		found = append(found, warning("grants of the role", "SELECT on system_views.settings", "no such grant, so that settings were not checked",
			"as a superuser, run GRANT SELECT ON system_views.settings TO <the role>"))
	} else if err != nil {
		return nil, err
	}
	access, err := inspectSystemAuth(ctx, db, s, settings)
	if err != nil {
		return nil, err
	}
	return slices.Concat(found, inspectGuardrails(s, settings), inspectSizeLimits(s, settings), access), nil
}

// Codes of errors in the CQL protocol.
const (
	codeUnavailable  = 0x1000
	codeWriteTimeout = 0x1100
	codeUnauthorized = 0x2100
	codeInvalid      = 0x2200 // the statement names a table that does not exist
)

// isUnauthorized reports whether Cassandra refused a statement because the role has no grant for it.
func isUnauthorized(err error) bool { return hasCode(err, codeUnauthorized) }

// hasCode reports whether Cassandra refused a statement with a code.
func hasCode(err error, code int) bool {
	var refused interface {
		error
		Code() int
	}
	return errors.As(err, &refused) && refused.Code() == code
}
