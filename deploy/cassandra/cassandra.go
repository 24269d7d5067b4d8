// Package cassandra has the settings of a node that is to serve UserInfo alone, so that tests and benchmarks run with what
// is recommended. It holds no code.
package cassandra

import _ "embed"

// YAML is for the end of a node's cassandra.yaml; a setting that is there already has to go.
//
//go:embed tuned.yaml
var YAML string

// Options are for jvm-server.options, in place of what is there on collectors and assertions.
//
//go:embed tuned-jvm.options
var Options string
