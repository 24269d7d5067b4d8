package target

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/bench/load"
)

func TestAStoreByURL(t *testing.T) {
	headers := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(headers, []byte("Authorization: Bearer x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Parse("kask=http://127.0.0.1:8081/sessions/v1/,header=" + headers + ",set=POST,pid=7,pid=8")
	if err != nil {
		t.Fatal(err)
	}
	want := load.HTTPSFiles{URL: "http://127.0.0.1:8081/sessions/v1/", Header: headers, Set: "POST"}
	if got.Name != "kask" || got.Kind != load.KindHTTPS || got.files != want || len(got.Processes) != 2 || got.Processes[1].PID != 8 {
		t.Errorf("the target is %+v", got)
	}
}

func TestAStoreByURLThatIsNoneIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "NAME=URL",
		"https://127.0.0.1/":           "NAME=URL",
		"=https://127.0.0.1/":          "NAME=URL",
		"a b=https://127.0.0.1/":       "NAME=URL",
		"x=https://127.0.0.1/k":        "slash",
		"x=ftp://127.0.0.1/":           "https://",
		"x=http://h/,port=8":           `"port" is none of`,
		"x=http://h/,set=PATCH":        "PUT or POST",
		"x=http://h/,set=PUT,set=POST": "once",
		"x=http://h/,ca=":              "not empty",
		"x=https://h/,ca=missing.pem":  "missing.pem",
		"x=http://h/,pid=0":            "pid",
		"x=http://h/,pid=self":         "pid",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"x=http://127.0.0.1/", "x=http://h/,set=POST,pid=1", "=", "x=,,", "x=http://h/,ca"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "ca=") || strings.Contains(text, "key=") || strings.Contains(text, "certificate=") || strings.Contains(text, "header=") {
			return // files of this machine
		}
		got, err := Parse(text)
		if err == nil && !strings.HasPrefix(text, got.Name+"="+got.files.URL) {
			t.Errorf("%q is %+v", text, got)
		}
	})
}
