package testcluster

import "testing"

func TestWithoutGone_LeavesOutNodesWithoutAddress(t *testing.T) {
	const here, gone = "host_id=1\taddress=10.213.0.11\n", "host_id=2\taddress=null\n"
	for rows, want := range map[string]string{"": "", here: here, gone: "", gone + here + gone: here} {
		if got := withoutGone(rows); got != want {
			t.Errorf("%q: %q, want %q", rows, got, want)
		}
	}
}
