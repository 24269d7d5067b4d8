package storetest

import (
	"os"
	"slices"
	"testing"
)

// Main runs the tests of a package that uses the suite, for TestMain. Most tests of the suite wait for the end of a TTL or of a
// fence, so more of them run at the same time than there are processors. The option -parallel of go test overrides this.
func Main(m *testing.M) int {
	os.Args = slices.Insert(os.Args, 1, "-test.parallel=16")
	return m.Run()
}
