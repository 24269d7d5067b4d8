package testcluster

import (
	"fmt"
	"testing"
)

func TestReplaced_KeepsTheOtherNodesAndTheOldList(t *testing.T) {
	a, b, c, d := &Node{Name: "a"}, &Node{Name: "b"}, &Node{Name: "c"}, &Node{Name: "d"}
	old := []*Node{a, b, c}
	if got := replaced(old, b, d); fmt.Sprint(got) != fmt.Sprint([]*Node{a, d, c}) {
		t.Errorf("replaced by another: %v", got)
	}
	if got := replaced(old, b); fmt.Sprint(got) != fmt.Sprint([]*Node{a, c}) {
		t.Errorf("removed: %v", got)
	}
	if fmt.Sprint(old) != fmt.Sprint([]*Node{a, b, c}) {
		t.Errorf("the list itself was changed: %v", old)
	}
}
