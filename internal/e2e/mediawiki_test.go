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

func TestMediaWiki_StoresSessionsInCassandra(t *testing.T) {
	i := shared.serve(t, "dc1")
	tokenFile := filepath.Join(shared.dir, "token.header")
	if err := os.WriteFile(tokenFile, []byte("Authorization: Bearer "+string(shared.fleet.Token())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clients := []mediawiki.Client{
		{URL: strings.TrimSuffix(i.CollectionURL("sessions"), "/"), Flavour: mediawiki.Put},
		{URL: strings.TrimSuffix(i.CollectionURL("kask"), "/"), Flavour: mediawiki.Kask, TextKeys: true},
	}
	for n := range clients {
		clients[n].CAFile, clients[n].TokenFile = shared.fleet.CAFile(), tokenFile
		for _, v := range mediawiki.Versions {
			clients[n].Root = v.Install(t)
			checkAll(t, clients[n], mediawiki.Main)
		}
	}
	if err := i.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		checkAll(t, c, mediawiki.Down)
	}
}

// checkAll runs the client and checks that it completes all its checks.
func checkAll(t *testing.T, c mediawiki.Client, mode mediawiki.Mode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := c.Run(ctx, mode)
	if err != nil || !strings.Contains(out, "\n1..") {
		t.Errorf("%s: %v; its output:\n%s", c.Flavour, err, out)
	}
}
