package config

import "testing"

func TestShutdown_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"negative drain", sessions, sessions + "\nshutdown: {drain: -1s}", "u.yaml:11: shutdown.drain: must not be negative"},
		{"grace shorter than a request", sessions, sessions + "\nshutdown: {grace: 1s}", "u.yaml:11: shutdown.grace: must be at least 2.8s"},
	})
}
