// Package cassandra contains the recommended settings of a Cassandra node that serves UserInfo only. Tests and benchmarks
// use them. The package contains no code.
package cassandra

import _ "embed"

// YAML is text for the end of a node's cassandra.yaml. Remove existing lines with the same settings.
//
//go:embed tuned.yaml
var YAML string

// Options is text for jvm-server.options. It replaces the lines about garbage collectors and assertions.
//
//go:embed tuned-jvm.options
var Options string
