package config

import (
	"strings"
	"testing"
	"time"
)

func TestAudit_Defaults(t *testing.T) {
	c := new(Config)
	c.ApplyDefaults()
	if a := c.Audit; a.Required == nil || !*a.Required || a.Patience != 5*time.Second || a.File != "" {
		t.Errorf("%+v", a)
	}
	f, err := Parse("u.yaml", []byte(minimal+"\naudit: {required: false, patience: 1m, file: audit.log}\n"))
	if err != nil || *f.Audit.Required || f.Audit.Patience != time.Minute || f.Audit.File != "audit.log" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAudit_RejectsPatience(t *testing.T) {
	for _, value := range []string{"999ms", "61s", "-1s"} {
		if _, err := Parse("u.yaml", []byte(minimal+"\naudit: {patience: "+value+"}\n")); err == nil || !strings.Contains(err.Error(), "audit.patience: must be from 1s to 1m0s") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
