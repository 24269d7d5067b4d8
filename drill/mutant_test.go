package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"userinfo/internal/fleet"
)

func TestMutants_FitTheCurrentSourceAndCompile(t *testing.T) {
	all := mutant{name: "all", wrapsRows: true} // one build for all mutants, because a build takes long
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			if _, err := writeOverlay(context.Background(), t.TempDir(), &m); err != nil {
				t.Error(err)
			}
			if _, ok := faultNamed(m.fault); !ok {
				t.Errorf("unknown fault %s", m.fault)
			}
			if m.wrapsRows != strings.Contains(mutantRowsSource, `"`+m.name+`"`) || m.wrapsRows == (len(m.edits) > 0) {
				t.Error("the bug must be either in mutant_rows.go.txt or in edits")
			}
		})
		all.edits = append(all.edits, m.edits...)
	}
	overlay, err := writeOverlay(context.Background(), t.TempDir(), &all)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", os.DevNull, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWriteOverlay_RejectsAnEditThatDoesNotFit(t *testing.T) {
	for name, e := range map[string]fleet.Edit{
		"the text is missing": {File: "store/collection.go", Old: "no such text in this file"},
		"the text is twice":   {File: "store/collection.go", Old: "func (c *Collection)"},
		"no such file":        {File: "store/none.go", Old: "package store"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := writeOverlay(context.Background(), t.TempDir(), &mutant{edits: []fleet.Edit{e}}); err == nil {
				t.Error("no error")
			}
		})
	}
}
