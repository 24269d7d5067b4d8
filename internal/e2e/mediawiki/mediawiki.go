// Package mediawiki runs MediaWiki's clients against a running service, and whole wikis on it:
//
//	client.php               MediaWiki's own class, RESTBagOStuff, whose configuration is a Client
//	extension_test           the tests of the extension in deploy/mediawiki, with PHPUnit
//	sessions_test            a wiki with either class: people log in, edit and log out
//	move_test                operators move the sessions of a wiki into the service, and back
//	password_hashes_test     MediaWiki's own hashes of passwords, and the service's
//	password_login_test      a wiki whose passwords are in the service: people create accounts and log in
//	password_change_test     they change and reset passwords
//	password_browser_test    the same in a browser
//	password_users_test      scripts, renamed users, system users
//	password_migration_test  operators move the passwords of a wiki into the service, and back
//
// Each runs on all Versions. They come from Debian's packages, see Version.Install. The package needs Debian's php-cli,
// php-curl, php-intl, php-mbstring, php-redis, php-sqlite3, php-xml, php-apcu, phpunit, redis-server and chromium.
//
// Tests of other packages use Wiki, a whole wiki, and Tab, a tab of a browser that shows a wiki.
//
// The clients verify the service's certificate. No secret appears on a command line or in an error. The package does not
// start or stop the service.
package mediawiki

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed client.php
var script []byte

// Flavour is a configuration of the client.
type Flavour string

const (
	// Put is the default configuration of RESTBagOStuff.
	Put Flavour = "put"
	// Kask is the configuration for Kask: POST and application/octet-stream.
	Kask Flavour = "kask"
)

// Mode is what the client expects of the service.
type Mode string

const (
	// Main expects that the service answers.
	Main Mode = "main"
	// Down expects that the service does not answer, whether or not it accepts connections.
	Down Mode = "down"
)

// Client is the configuration of a wiki. All fields except TextKeys are required.
type Client struct {
	// Root is the directory of MediaWiki, from Version.Install.
	Root string
	// URL of a collection, for example https://127.0.0.1:8443/sessions/v1. The collection must have a fence, and its
	// max_value_bytes must be between 500 kB and 2 MB.
	URL string
	// CAFile is the path of the CA's certificate. The CA must not be one of the system's CAs.
	CAFile string
	// TokenFile is the path of a file with the line "Authorization: Bearer <token>". The token's client must be allowed to
	// get, set and delete every key.
	TokenFile string
	Flavour   Flavour
	// TextKeys is true if the collection accepts UTF-8 keys only, as Kask's layout does.
	TextKeys bool
}

// Run runs the client and returns its output in the Test Anything Protocol, one line for each check. It returns an error
// if a check failed or the client could not run. The error contains the failed checks and PHP's messages.
func (c Client) Run(ctx context.Context, mode Mode) (string, error) {
	keys := "any"
	if c.TextKeys {
		keys = "text"
	}
	cmd := PHP(ctx, []string{
		"MW_INSTALL_PATH=" + c.Root,
		"USERINFO_URL=" + c.URL, "USERINFO_CA=" + c.CAFile, "USERINFO_TOKEN_FILE=" + c.TokenFile,
		"USERINFO_FLAVOUR=" + string(c.Flavour), "USERINFO_KEYS=" + keys,
	}, "--", string(mode))
	cmd.Stdin = bytes.NewReader(script)
	var out, messages strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("MediaWiki's client (%s, %s): %w: %s%s", c.Flavour, mode, err, failedChecks(out.String()), messages.String())
	}
	if messages.Len() > 0 {
		return out.String(), fmt.Errorf("MediaWiki's client (%s, %s) printed messages: %s", c.Flavour, mode, messages.String())
	}
	return out.String(), nil
}

// failedChecks returns the lines of a TAP output that describe failed checks.
func failedChecks(tap string) string {
	var b strings.Builder
	for line := range strings.Lines(tap) {
		if strings.HasPrefix(line, "not ok") || strings.HasPrefix(line, "#") {
			b.WriteString("\n" + strings.TrimRight(line, "\n"))
		}
	}
	return b.String()
}
