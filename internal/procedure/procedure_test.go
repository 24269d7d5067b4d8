package procedure

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// recorder is a testing.TB that records failures. Fatalf ends the goroutine, as in a test.
type recorder struct {
	testing.TB
	failed bool
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func (r *recorder) Fatalf(string, ...any) {
	r.failed = true
	runtime.Goexit()
}

// fails reports whether do fails its test.
func fails(do func(testing.TB)) bool {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(r)
	}()
	<-done
	return r.failed
}

const document = "# Title\n\n## First\n\n```sh\n# comment\none\n```\n\n1. In a list:\n\n   ```sql\n   ALTER two;\n   ```\n\n```yaml\nthree: 3\n```\n\n" +
	"### Within\n\n```sh\nfour\n```\n\n## Second\n\n```sh\nfive\n```\n"

func write(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProcedure_HasCommandsOfItsSection(t *testing.T) {
	file := write(t)
	p := Read(t, file, "## First")
	for _, want := range []string{"four", "# comment\none", "   ALTER two;"} {
		if got := p.Take(want); got != want {
			t.Errorf("Take(%q) returned %q", want, got)
		}
	}
	p.End()
	p = Read(t, file, "### Within")
	p.Take("four")
	p.End()
}

func TestProcedure_FailsTest(t *testing.T) {
	file := write(t)
	for name, do := range map[string]func(testing.TB){
		"no such section":              func(t testing.TB) { Read(t, file, "## Third") },
		"a command that is not there":  func(t testing.TB) { Read(t, file, "## Second").Take("one") },
		"a command that was taken":     func(t testing.TB) { p := Read(t, file, "## Second"); p.Take("five"); p.Take("five") },
		"a command that no test takes": func(t testing.TB) { Read(t, file, "## Second").End() },
	} {
		if !fails(do) {
			t.Errorf("%s: the test does not fail", name)
		}
	}
}
