//go:build integration

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/internal/e2e/mediawiki"
)

func TestMediaWikiKeepsItsSessionsInCassandra(t *testing.T) {
	i := shared.serve(t, "dc1")
	tokenFile := filepath.Join(shared.dir, "token.header")
	if err := os.WriteFile(tokenFile, []byte("Authorization: Bearer "+string(shared.fleet.Token())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := []mediawiki.Client{
		{URL: strings.TrimSuffix(i.CollectionURL("sessions"), "/"), Flavour: mediawiki.Put},
		{URL: strings.TrimSuffix(i.CollectionURL("kask"), "/"), Flavour: mediawiki.Kask, TextKeys: true},
	}
	for n := range both {
		both[n].CAFile, both[n].TokenFile = shared.fleet.CAFile(), tokenFile
		holds(t, both[n], mediawiki.Main)
	}
	if err := i.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, c := range both {
		holds(t, c, mediawiki.Down)
	}
}

// holds runs the client to its end and has all of its claims hold.
func holds(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	said, err := c.Run(ctx, mode)
	if err != nil || !strings.Contains(said, "\n1..") {
		t.Errorf("%s: %v; it said:\n%s", c.Flavour, err, said)
	}
}
