package main

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/config"
)

func TestShellQuote_IsReadBackByShell(t *testing.T) {
	for _, word := range []string{"userinfo", "/usr/local/bin/userinfo", "/home/a b/userinfo", "it's", "$HOME", "`x`", `a"b`, "a\\b", "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q is read as %q, %v", word, out, err)
		}
	}
	if got := shellQuote("/usr/local/bin/userinfo"); got != "/usr/local/bin/userinfo" {
		t.Errorf("a plain path is quoted: %s", got)
	}
}

func TestProgramCommand_IsAbsoluteUnlessInPath(t *testing.T) {
	before := os.Args[0]
	defer func() { os.Args[0] = before }()
	for program, want := range map[string]string{"userinfo": "userinfo", "/opt/userinfo": "/opt/userinfo"} {
		os.Args[0] = program
		if got := programCommand(); got != want {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
	os.Args[0] = "./userinfo"
	if got := programCommand(); !strings.HasPrefix(strings.Trim(got, "'"), "/") || strings.Contains(got, "./") {
		t.Errorf("./userinfo: %s", got)
	}
}

func TestListenLoopback_SaysHowToChooseAnotherPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := listenLoopback(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "--listen 127.0.0.1:PORT") {
		t.Errorf("error %v", err)
	}
}

func TestListenLoopback_RejectsOtherAddresses(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0"} {
		if l, err := listenLoopback(address); err == nil {
			_ = l.Close()
			t.Errorf("%s is accepted", address)
		}
	}
}

func TestDevConfig_HasFenceExceptForPatterns(t *testing.T) {
	patterns := []string{"*:lock", "apiwiki:*"}
	for _, o := range []devOptions{{}, {fenceExempt: patterns}} {
		c, err := devConfig(t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Collections[0]; *got.Fence == 0 || !slices.Equal(got.FenceExempt, o.fenceExempt) {
			t.Errorf("fence %v, exempt %v, want %v", *got.Fence, got.FenceExempt, o.fenceExempt)
		}
	}
}

func TestDevConfig_AsksForCredentialUnlessOpen(t *testing.T) {
	for _, open := range []bool{false, true} {
		c, err := devConfig(t.TempDir(), devOptions{open: open})
		if err != nil {
			t.Fatal(err)
		}
		o, err := (&config.File{Config: c}).Open(time.Now)
		if err != nil {
			t.Fatal(err)
		}
		id, err := o.Snapshot.Rules.Policy.Authenticate(access.Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		for _, audience := range []string{"sessions", access.Metrics, access.OpenAPI, access.Operators} {
			if admitted := access.Admit(id, audience) == nil; admitted != open {
				t.Errorf("open %v: a request without credentials is admitted to %s: %v", open, audience, admitted)
			}
		}
		if o.Snapshot.SealKeys == nil {
			t.Error("rows are not sealed")
		}
	}
}
