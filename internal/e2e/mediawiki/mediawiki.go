// Package mediawiki runs MediaWiki's own session client against a running service: client.php, which uses Debian's
// mediawiki-classes, php-psr-log, php-cli and php-curl.
//
// It verifies the service's certificate and passes no secret on a command line or into an error. It does not start or
// stop the service; whoever does decides what the client meets.
package mediawiki

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed client.php
var script []byte

// Flavour is how the client is configured.
type Flavour string

const (
	// Put is RESTBagOStuff's default.
	Put Flavour = "put"
	// Kask is what Kask's clients have: POST and application/octet-stream.
	Kask Flavour = "kask"
)

// Mode is what the client is to find.
type Mode string

const (
	// Main expects a service that answers.
	Main Mode = "main"
	// Down expects one that does not, whether nothing listens or something does and stays silent.
	Down Mode = "down"
)

// Client is a wiki's configuration. All of it but TextKeys is required.
type Client struct {
	// URL of a collection: https://127.0.0.1:8443/sessions/v1. Its values may have at least 500 kB and at most 2 MB,
	// and it must have a fence.
	URL string
	// CAFile has the CA's certificate; the system's CAs must not know it.
	CAFile string
	// TokenFile has the line "Authorization: Bearer <token>" of a client that may get, set and delete every key.
	TokenFile string
	Flavour   Flavour
	// TextKeys says that the collection takes keys of UTF-8 alone, as Kask's layout does.
	TextKeys bool
}

// Run returns what the client says, in the Test Anything Protocol: a line for each claim. An error means that a claim
// does not hold or that nothing could be claimed, and has what PHP said of it.
func (c Client) Run(ctx context.Context, mode Mode) (string, error) {
	keys := "any"
	if c.TextKeys {
		keys = "text"
	}
	php, err := exec.LookPath("php")
	if err != nil {
		return "", fmt.Errorf("running MediaWiki's client: %w; install php-cli", err)
	}
	cmd := exec.CommandContext(ctx, php, "-d", "display_errors=stderr", "-d", "error_reporting=-1", "-d", "log_errors=0", "--", string(mode))
	// Nothing else, lest a proxy that the environment names come between.
	cmd.Env = []string{
		"USERINFO_URL=" + c.URL, "USERINFO_CA=" + c.CAFile, "USERINFO_TOKEN_FILE=" + c.TokenFile,
		"USERINFO_FLAVOUR=" + string(c.Flavour), "USERINFO_KEYS=" + keys,
	}
	cmd.Stdin = bytes.NewReader(script)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("MediaWiki's client (%s, %s): %w: %s%s", c.Flavour, mode, err, broken(out.String()), complaint.String())
	}
	if complaint.Len() > 0 {
		return out.String(), fmt.Errorf("MediaWiki's client (%s, %s) complained: %s", c.Flavour, mode, complaint.String())
	}
	return out.String(), nil
}

// broken is the part of a TAP output that says what does not hold.
func broken(tap string) string {
	var b strings.Builder
	for line := range strings.Lines(tap) {
		if strings.HasPrefix(line, "not ok") || strings.HasPrefix(line, "#") {
			b.WriteString("\n" + strings.TrimRight(line, "\n"))
		}
	}
	return b.String()
}
