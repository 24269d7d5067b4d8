package mediawiki

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
)

// phpOptions make PHP report everything on stderr. APCu is on, as on a web server.
var phpOptions = []string{"-d", "display_errors=stderr", "-d", "error_reporting=-1", "-d", "log_errors=0", "-d", "apc.enable_cli=1"}

// PHP returns a command of PHP whose environment has these variables and no others, because others could name a proxy.
func PHP(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "php", slices.Concat(phpOptions, args)...)
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, env...)
	return cmd
}

// PHPUnit returns a command that runs the tests of an extension in a directory.
func PHPUnit(ctx context.Context, dir string, env []string) *exec.Cmd {
	return PHP(ctx, env, "/usr/bin/phpunit", "--configuration", filepath.Join(dir, "phpunit.xml.dist"))
}
