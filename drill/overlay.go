package main

import (
	"context"
	_ "embed"

	"userinfo/internal/fleet"
)

//go:embed clock.go.txt
var clockSource []byte

// edit is a fleet.Edit, which is shorter to write here.
type edit struct{ File, Old, New string }

// clockEdit gives the program a clock that a drill can put wrong. It is the one difference between the program that is
// drilled and the one that is shipped.
var clockEdit = edit{"cmd/userinfo/service.go", "\tnow := time.Now\n", "\tnow := drillClock()\n"}

// writeOverlay writes what fleet.Build takes: the source with the drill's clock and, perhaps, a planted bug.
func writeOverlay(ctx context.Context, dir string, m *mutant) (string, error) {
	edits := []fleet.Edit{fleet.Edit(clockEdit)}
	if m != nil {
		for _, e := range m.edits {
			edits = append(edits, fleet.Edit(e))
		}
	}
	return fleet.WriteOverlay(ctx, dir, edits, map[string][]byte{"cmd/userinfo/drill_clock.go": clockSource})
}
