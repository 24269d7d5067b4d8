package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"userinfo/access"
	"userinfo/internal/devca"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"userinfo":          main,
		"userinfo-dumpable": dumpableMain,
		"userinfo-memory":   memoryMain,
		"gocurl":            gocurlMain,
	})
}

// dumpableMain is main without the protection of its memory, so that a test need not be root to search it.
func dumpableMain() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// memoryMain is `userinfo serve` with tables in memory. Its configuration, files, reloads and end are the real ones.
func memoryMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := openConfig(os.Args[2]) // after --config
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	}
	err = runService(ctx, o, os.Stderr, func(s *service, ctx context.Context) error {
		l, err := s.listen()
		if err != nil {
			return err
		}
		return s.serveTables(ctx, l, memoryTables(64<<20))
	})
	if err != nil {
		os.Exit(exitFailed)
	}
}

// TestRun_Scripts runs testdata/script/*.txtar. Each script has its own directory with certificates and tokens:
//
//	ca.crt                       the CA of everything below
//	server.crt, .key, and next.* two server certificates
//	wiki.crt, .key               a client certificate with the common name wiki and the DNS name wiki.example
//	password                     the password for Cassandra, marked-password
//	index.key, seal.key          keys that seal rows
//	minimal.yaml                 the one in deploy
//	$TOKEN1, $TOKEN2             tokens; $HASH1, $HASH2 their hashes for the configuration; N.header for curl -H
//
// Commands beyond testscript's own:
//
//	await FILE REGEXP [VAR]   waits until FILE matches; sets VAR to the first group
//	signal NAME               sends a signal to every background process
//	request ARGUMENT...       runs gocurl without a process
//	fill FILE...              replaces $NAME with the value of the environment variable
func TestRun_Scripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "signal": sendSignal, "fill": fill, "request": gocurlCommand,
		},
		RequireExplicitExec: true,
	})
}

func setup(env *testscript.Env) error {
	ca, err := devca.New("test")
	if err != nil {
		return err
	}
	for name, leaf := range map[string]devca.Leaf{
		"server": devca.Loopback(), "next": devca.Loopback(), "wiki": {CommonName: "wiki", DNSNames: []string{"wiki.example"}, Client: true},
	} {
		if _, _, err := ca.Write(env.WorkDir, name, leaf); err != nil {
			return err
		}
	}
	env.Setenv("GORACE", os.Getenv("GORACE")) // scripts inherit no variables
	files := map[string]string{"ca.crt": string(ca.PEM()), "password": "marked-password\n"}
	for _, kind := range []string{"index", "seal"} {
		var made strings.Builder
		if code := run(context.Background(), []string{"key", "new", kind}, &made, io.Discard); code != exitOK {
			return fmt.Errorf("key new %s: exit code %d", kind, code)
		}
		files[kind+".key"] = made.String()
	}
	minimal, err := os.ReadFile("../../deploy/minimal.yaml")
	if err != nil {
		return err
	}
	files["minimal.yaml"] = string(minimal)
	for i := 1; i <= 2; i++ {
		token := access.Token(fmt.Sprintf("userinfo_marked-token-%d", i))
		env.Setenv(fmt.Sprintf("TOKEN%d", i), string(token))
		env.Setenv(fmt.Sprintf("HASH%d", i), token.HashText())
		files[fmt.Sprintf("%d.header", i)] = "Authorization: Bearer " + string(token) + "\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// patience is the time after which a test stops waiting. It is much longer than anything takes.
const patience = 30 * time.Second

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE REGEXP [VAR]")
	}
	want := regexp.MustCompile("(?m)" + args[1])
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if m := want.FindSubmatch(text); m != nil {
			if len(args) == 3 {
				ts.Setenv(args[2], string(m[1]))
			}
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s has no %s (%v):\n%s", args[0], args[1], err, text)
		}
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": os.Interrupt}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal HUP|TERM|INT")
	}
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(signals[args[0]]))
	}
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}
