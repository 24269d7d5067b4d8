//go:build integration

package mediawiki_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"userinfo/internal/e2e/mediawiki"
	"userinfo/passwords/scheme"
)

// passwordHash is a password and its hash.
type passwordHash struct {
	Scheme   string `json:"scheme,omitempty"`
	Password string `json:"password"`
	Hash     string `json:"hash"`
}

// factoryRequest and factoryResponse are what testdata/password_hashes.php reads and writes.
type factoryRequest struct {
	Passwords []string       `json:"passwords"`
	Hashes    []passwordHash `json:"hashes"`
	Cheap     bool           `json:"cheap,omitempty"` // for a busy machine: the service must answer within 3 s
}

type factoryResponse struct {
	Made  []passwordHash `json:"made"`
	Right []bool         `json:"right"`
}

// factoryPasswords are passwords as MediaWiki gets them: normalised.
var factoryPasswords = []string{"password", "pässwörd: ß", "Ångström 😀", strings.Repeat("longer than bcrypt reads ", 6)}

// TestPasswordFactory_AgreesWithPasswords lets MediaWiki make a hash in each of its schemes, which the service must
// verify, and lets MediaWiki verify a new hash of the service, so that a wiki can go back.
func TestPasswordFactory_AgreesWithPasswords(t *testing.T) {
	for _, version := range mediawiki.Versions {
		t.Run(string(version), func(t *testing.T) {
			request := factoryRequest{Passwords: factoryPasswords}
			for _, password := range factoryPasswords {
				hash, err := scheme.Argon2id{MemoryKiB: 8 << 10, Time: 2, Threads: 1}.New([]byte(password), rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				request.Hashes = append(request.Hashes, passwordHash{Password: password, Hash: hash.Text()}, passwordHash{Password: password + "x", Hash: hash.Text()})
			}
			response := askPasswordFactory(t, version, request)
			for n, right := range response.Right {
				if want := n%2 == 0; right != want {
					t.Errorf("MediaWiki says of hash %d of the service: %v, want %v", n, right, want)
				}
			}
			var schemes []string
			for _, made := range response.Made {
				schemes = append(schemes, made.Scheme)
				checkMade(t, made)
			}
			slices.Sort(schemes)
			if got, want := slices.Compact(schemes), []string{"A", "B", "argon2", "bcrypt", "pbkdf2", "pbkdf2-legacyA", "pbkdf2-legacyB"}; !slices.Equal(got, want) {
				t.Errorf("MediaWiki made hashes of %v, want %v", got, want)
			}
			if len(response.Right) != len(request.Hashes) || len(response.Made) != 7*len(factoryPasswords) {
				t.Errorf("MediaWiki verified %d hashes and made %d", len(response.Right), len(response.Made))
			}
		})
	}
}

// checkMade checks that the service verifies a hash that MediaWiki has made. The limits are the defaults of the
// configuration.
func checkMade(t *testing.T, made passwordHash) {
	t.Helper()
	hash, err := scheme.Parse(made.Hash, scheme.Limits{MemoryKiB: 64 << 10, Threads: 4})
	if err != nil {
		t.Errorf("%s: %v", made.Scheme, err)
		return
	}
	if !hash.Verify([]byte(made.Password)) || hash.Verify([]byte("x"+made.Password)) {
		t.Errorf("%s of %q: the service does not agree with MediaWiki", made.Scheme, made.Password)
	}
}

// askPasswordFactory runs testdata/password_hashes.php.
func askPasswordFactory(t *testing.T, version mediawiki.Version, request factoryRequest) (response factoryResponse) {
	t.Helper()
	input, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	cmd := mediawiki.PHP(ctx, []string{"MW_INSTALL_PATH=" + version.Install(t)}, filepath.Join("testdata", "password_hashes.php"))
	cmd.Stdin = bytes.NewReader(input)
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, messages.String())
	}
	if err := json.Unmarshal(out, &response); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return response
}
