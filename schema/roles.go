package schema

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
)

// rolesFile is the file of cql/ with the roles. Apply does not run it: only a superuser can.
const rolesFile = "roles.cql"

// adminSuffix follows the name of the service's role in the name of the role for Apply.
const adminSuffix = "_admin"

// Roles returns the CQL that creates two roles and grants them what they need on the schema of s: the service's role, called role, and
// the role for Apply, called role with the suffix _admin. The CQL contains no password, and all its statements may run again. Roles
// fails closed: it refuses the name of Cassandra's default superuser, and a name that would need escaping.
func Roles(s Spec, role string) (string, error) {
	if err := s.Validate(); err != nil {
		return "", fmt.Errorf("printing the roles: %w", err)
	}
	if err := validateRole(role); err != nil {
		return "", fmt.Errorf("printing the roles: role %q: %w", role, err)
	}
	data := struct {
		Role, Admin, Keyspace string
		Tables, OldTables     []string
	}{Role: role, Admin: role + adminSuffix, Keyspace: s.Keyspace}
	for _, t := range s.Tables {
		data.Tables = append(data.Tables, t.Name)
	}
	for _, t := range s.serviceTables() {
		if t.file == "" {
			data.OldTables = append(data.OldTables, t.name)
		} else {
			data.Tables = append(data.Tables, t.name)
		}
	}
	templates, err := template.New("cql").Option("missingkey=error").ParseFS(files, "cql/"+rolesFile)
	if err != nil {
		return "", fmt.Errorf("reading the embedded CQL: %w", err)
	}
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, rolesFile, data); err != nil {
		return "", fmt.Errorf("filling in the embedded %s: %w", rolesFile, err)
	}
	return b.String(), nil
}

// validateRole rejects names that are not for the service.
func validateRole(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-"
	switch {
	case name == "cassandra":
		return errors.New("is Cassandra's default superuser; give the service a role of its own")
	case len(name) < 1 || len(name) > 64 || strings.Trim(name, allowed) != "":
		return errors.New("use a name of 1 to 64 letters, digits and _ . @ -")
	}
	return nil
}
