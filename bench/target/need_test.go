package target

import (
	"strings"
	"testing"

	"userinfo/bench/result"
)

func TestWhatIsMissingIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, want := range map[string]string{
		result.Redis:    "apt-get install redis-server",
		result.Sidecar:  "apt-get install haproxy",
		result.Memory:   "install Go",
		result.UserInfo: "install Go",
		"memcached":     `no target "memcached"`,
	} {
		if err := Check(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error with %q", name, err, want)
		}
	}
	if err := Check(t.Context(), result.Handler, result.Loop); err != nil {
		t.Errorf("floors need nothing, but: %v", err)
	}
}
