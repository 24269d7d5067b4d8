package config

import (
	"time"

	"userinfo/internal/field"
	"userinfo/internal/logqueue"
)

// Audit configures the audit records of refused requests and of deletes. They are logged at every log level.
type Audit struct {
	// KeyFile holds a key made by `userinfo key new audit`. It is a secret file. With a key, a record contains a hash
	// of the session key; only somebody who has both the audit key and a session key can match them. Without a key,
	// records contain no hash.
	KeyFile string `yaml:"key_file"`
	// Required makes the service answer 503 to a request whose record cannot be written. If it is false, such records are
	// dropped and counted. Default true.
	Required *bool `yaml:"required"`
	// Patience is how long a record may wait before it counts as one that cannot be written. No request waits that long.
	// From 1s to 1m. Default 5s.
	Patience time.Duration `yaml:"patience"`
	// File is where records must be written. It is opened again on SIGHUP. Standard error then gets a copy, which may be
	// lost. Default: none, records must be written to standard error.
	File string `yaml:"file"`
}

// Bounds of Audit.Patience. A shorter time would take a busy disk for a broken one. In a longer time, too many deletes would
// be done whose records only memory has.
const (
	minAuditPatience = time.Second
	maxAuditPatience = time.Minute
)

func (a *Audit) applyDefaults() {
	setDefaultPointer(&a.Required, true)
	setDefault(&a.Patience, 5*time.Second)
}

func (a *Audit) validate() error {
	if a.Patience < minAuditPatience || a.Patience > maxAuditPatience {
		return field.Errorf("audit.patience", "must be from %v to %v", minAuditPatience, maxAuditPatience)
	}
	return nil
}

// checkFile returns an error if the file of audit records cannot be used. It does not create the file.
func (a *Audit) checkFile() error {
	if a.File == "" {
		return nil
	}
	if err := logqueue.CheckFile(a.File); err != nil {
		return &field.Error{Path: "audit.file", Err: err}
	}
	return nil
}
