package load

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/devca"
)

// TestMain makes the test's own program a generator where it is told to be one, as bench is.
func TestMain(m *testing.M) {
	if os.Getenv("USERINFO_TEST_GENERATE") != "" {
		if err := Generate(context.Background(), os.Stdin, os.Stdout, nil); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(t *testing.T) func(context.Context) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) *exec.Cmd {
		c := exec.CommandContext(ctx, self)
		c.Env = append(os.Environ(), "USERINFO_TEST_GENERATE=yes")
		return c
	}
}

// specOf is of a site that has the data set, with its secrets in files.
func specOf(t *testing.T, s *site, w Workload) Spec {
	t.Helper()
	s.store.fill(Dataset{})
	data := Dataset{20, w.ValueBytes}
	for i := range data.Values {
		s.store.values["/sessions/v1/"+data.Key(i)] = data.Value(nil, i)
	}
	dir := t.TempDir()
	f := HTTPSFiles{URL: s.base(), CA: filepath.Join(dir, "ca.crt"), Header: filepath.Join(dir, "header"), Fresh: w.Fresh}
	write(t, f.CA, string(s.ca.PEM()))
	write(t, f.Header, "Authorization: Bearer planted\n")
	settings, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Kind: KindHTTPS, Settings: settings, Workload: w, Data: data, Connections: 5}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACrewIsOneGeneratorOfManyProcesses(t *testing.T) {
	for _, name := range []string{"production", "fresh"} {
		w := named(t, name)
		s := newSite(t, nil)
		c, err := StartCrew(t.Context(), 2, specOf(t, s, w), child(t))
		if err != nil {
			t.Fatal(err)
		}
		if pids := c.Pids(); len(pids) != 2 || pids[0] == pids[1] {
			t.Errorf("processes %v", pids)
		}
		for i, mode := range []result.Mode{result.Open, result.Closed} {
			got, err := c.Round(t.Context(), Round{Number: i, Mode: mode, Rate: 100, Seconds: 0.5})
			if err != nil {
				t.Fatal(err)
			}
			if got.Done == 0 || got.Errored() != 0 || got.Workload != name || got.Data != 20*Session || got.ValueBytes != Session ||
				got.Connections != 5 || got.Round != i || got.Mode != mode || got.Sent <= 0 || got.Received <= 0 || got.Began.IsZero() {
				t.Errorf("%+v", got)
			}
		}
		if news, _ := s.count(); !w.Fresh && news != 5 {
			t.Errorf("%d connections were made, want 5 kept ones", news)
		}
		if !strings.Contains(s.asked()[0], "Bearer planted") {
			t.Errorf("the headers of the file were not sent: %q", s.asked()[0])
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAGeneratorThatCannotBeginSaysWhy(t *testing.T) {
	s := newSite(t, nil)
	spec := specOf(t, s, gets)
	s.Close()
	_, err := StartCrew(t.Context(), 2, spec, child(t))
	if err == nil || !strings.Contains(err.Error(), "generator 2 of 2: connecting to the target") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := StartCrew(t.Context(), 0, spec, nil); err == nil {
		t.Error("a crew of none was started")
	}
}

func TestACrewEndsWithItsContext(t *testing.T) {
	s := newSite(t, nil)
	c, err := StartCrew(t.Context(), 1, specOf(t, s, gets), child(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := c.Round(ctx, Round{Mode: result.Open, Seconds: 3600}); err == nil {
		t.Error("a round of an hour ended well")
	}
	if err := c.Close(); err == nil {
		t.Error("the generator ended well")
	}
}

func TestWhatAChildIsToldMustBeUnderstood(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":               {"", "reading what to generate"},
		"a field that is none":  {`{"Kin":"https"}`, `unknown field \"Kin\"`},
		"a kind that is none":   {`{"Kind":"ldap"}`, `no kind of target is called \"ldap\"`},
		"settings that are not": {`{"Kind":"https","Settings":{"Url2":""}}`, "settings of an HTTP session store"},
		"no workload":           {`{"Kind":"https","Settings":{"URL":"https://h/"}}`, "rates"},
		"kept, for fresh":       {`{"Kind":"https","Settings":{"URL":"https://h/"},"Workload":{"Fresh":true}}`, "new connection"},
	} {
		var out bytes.Buffer
		if err := Generate(t.Context(), strings.NewReader(c.in), &out, nil); err == nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %v, said %s; want %q in it", name, err, out.String(), c.want)
		}
	}
}

func TestOtherKindsOfTargetAreMadeByTheCaller(t *testing.T) {
	store := (&fakeStore{}).fill(ten)
	dial := func(kind string, settings json.RawMessage) (Dialer, error) {
		if kind != "fake" || string(settings) != `{"A":1}` {
			t.Errorf("asked for %q, %s", kind, settings)
		}
		return store, nil
	}
	spec, err := json.Marshal(Spec{Kind: "fake", Settings: json.RawMessage(`{"A":1}`), Workload: gets, Data: ten, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	in := string(spec) + "\n" + `{"Mode":"closed","Seconds":0.01}` + "\n"
	if err := Generate(t.Context(), strings.NewReader(in), &out, dial); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || lines[0] != "{}" || !strings.HasPrefix(lines[1], `{"Part":`) {
		t.Errorf("said %q", out.String())
	}
	if store.made != 1 || store.closed != 1 {
		t.Errorf("%d connections made, %d closed", store.made, store.closed)
	}
}

func TestSettingsInFilesAreReadOrRefused(t *testing.T) {
	dir := t.TempDir()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Write(dir, "wiki", devca.Leaf{CommonName: "wiki", Client: true})
	if err != nil {
		t.Fatal(err)
	}
	header, junk := filepath.Join(dir, "header"), filepath.Join(dir, "junk")
	write(t, header, "Authorization: Bearer a:b\r\nX-Y:  z \n")
	write(t, junk, "planted")
	good := HTTPSFiles{URL: "https://h/", Certificate: cert, Key: key, Header: header}
	d, err := good.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	c := d.(*httpsDialer)
	if len(c.TLS.Certificates) != 1 || len(c.Header) != 2 || c.Header[0] != [2]string{"Authorization", "Bearer a:b"} || c.Header[1] != [2]string{"X-Y", "z"} {
		t.Errorf("%d certificates, headers %q", len(c.TLS.Certificates), c.Header)
	}
	for want, change := range map[string]func(*HTTPSFiles){
		"has no certificate in PEM":  func(f *HTTPSFiles) { f.CA = junk },
		"the CA's certificate: open": func(f *HTTPSFiles) { f.CA = "nowhere" },
		"go together":                func(f *HTTPSFiles) { f.Key = "" },
		"the client's certificate":   func(f *HTTPSFiles) { f.Key = junk },
		"junk:1 is no header line":   func(f *HTTPSFiles) { f.Header = junk },
		"the headers: open":          func(f *HTTPSFiles) { f.Header = "nowhere" },
	} {
		f := good
		change(&f)
		if _, err := f.Dialer(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}
