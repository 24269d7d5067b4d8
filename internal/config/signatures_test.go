package config

import "testing"

func TestSignatures_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"a window that is too long", sessions, sessions + "\nsignatures: {window: 1h}", "u.yaml:11: signatures.window: must be whole seconds, from 1s to 10m"},
		{"negative number of nonces", sessions, sessions + "\nsignatures: {nonces: -1}", "u.yaml:11: signatures.nonces: must be at least 1"},
	})
}
