//go:build integration

package signatures

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"userinfo/access/signature"
)

// TestSign_OutputWorksWithCurl passes the output of `userinfo sign` to curl, as the usage of the command shows.
func TestSign_OutputWorksWithCurl(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "userinfo")
	if out, err := exec.Command("go", "build", "-o", program, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		t.Fatalf("building userinfo: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "body")
	if err := os.WriteFile(file, []byte("who=alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range keyPairs(t) {
		url, ca := serve(t, p.verifying)
		url += path
		for _, c := range []struct {
			name       string
			sign, curl []string
			want       string
		}{
			{"get", nil, nil, keyID},
			{"delete", []string{"--method", "DELETE"}, []string{"-X", "DELETE"}, keyID},
			{"touch", []string{"--method", "PATCH", "--ttl", "60"}, []string{"-X", "PATCH"}, keyID},
			{"set", []string{"--method", "PUT", "--ttl", "60", "--body", file}, []string{"-X", "PUT", "--data-binary", "@" + file}, keyID},
			{"another method", nil, []string{"-X", "DELETE"}, signature.ErrInvalid.Error()},
			{"another body", []string{"--method", "PUT", "--body", file}, []string{"-X", "PUT", "--data-binary", "who=mallo"}, signature.ErrBody.Error()},
		} {
			t.Run(string(p.verifying.Algorithm())+"/"+c.name, func(t *testing.T) {
				sign := exec.CommandContext(t.Context(), program, append(append([]string{"sign", "--key", p.signFile, "--keyid", keyID}, c.sign...), url)...)
				curl := exec.CommandContext(t.Context(), "curl", append(append([]string{"-sS", "--cacert", ca, "-H", "@-"}, c.curl...), url)...)
				curl.Env = []string{"PATH=" + os.Getenv("PATH")} // no proxy variables
				lines, err := sign.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				curl.Stdin, sign.Stderr = lines, os.Stderr
				if err := sign.Start(); err != nil {
					t.Fatal(err)
				}
				out, err := curl.CombinedOutput()
				if err != nil || string(out) != c.want {
					t.Errorf("%v: %s, want %s", err, out, c.want)
				}
				if err := sign.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
