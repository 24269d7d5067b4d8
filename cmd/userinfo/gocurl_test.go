package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// gocurlMain understands the part of curl's command line that the lines printed by `userinfo dev` need, so that they are
// tested on machines without curl too.
func gocurlMain() {
	if err := gocurl(".", os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gocurl:", err)
		os.Exit(1)
	}
}

// gocurlCommand is gocurl as a command of testscript, without a process.
func gocurlCommand(ts *testscript.TestScript, neg bool, args []string) {
	if err := gocurl(ts.MkAbs("."), args, ts.Stdout()); (err != nil) != neg {
		ts.Fatalf("gocurl: %v", err)
	}
}

// gocurl runs one command line. Relative file names are relative to dir. Headers from @- are read from standard input.
func gocurl(dir string, args []string, w io.Writer) error {
	path := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	method, target, body, headers, files, include := "", "", "", []string{}, map[string]string{}, false
	for i := 0; i < len(args); i++ {
		value := func() string {
			i++
			if i == len(args) {
				return ""
			}
			return args[i]
		}
		switch a := args[i]; a {
		case "-sS":
		case "-i":
			include = true
		case "-X":
			method = value()
		case "-H":
			h := value()
			if name, ok := strings.CutPrefix(h, "@"); ok && name != "-" {
				h = "@" + path(name)
			}
			headers = append(headers, h)
		case "--data-binary":
			body = value()
		case "--cacert", "--cert", "--key":
			files[a] = path(value())
		default:
			if strings.HasPrefix(a, "-") {
				return fmt.Errorf("unknown option %s", a)
			}
			target = a
		}
	}
	client, err := gocurlClient(files)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return err
	}
	if err := gocurlHeaders(req, headers); err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	defer resp.Body.Close()
	if include {
		fmt.Fprintf(w, "%s %d\n", resp.Proto, resp.StatusCode)
		if err := resp.Header.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

func gocurlClient(files map[string]string) (*http.Client, error) {
	ca, err := os.ReadFile(files["--cacert"])
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("no CA in the file")
	}
	if files["--cert"] != "" {
		pair, err := tls.LoadX509KeyPair(files["--cert"], files["--key"])
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// gocurlHeaders adds the headers NAME: VALUE, and those in the file of each @FILE.
func gocurlHeaders(req *http.Request, headers []string) error {
	for _, h := range headers {
		var lines io.Reader = strings.NewReader(h)
		if name, ok := strings.CutPrefix(h, "@"); ok && name == "-" {
			lines = os.Stdin
		} else if ok {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			lines = f
		}
		for s := bufio.NewScanner(lines); s.Scan(); {
			name, value, ok := strings.Cut(s.Text(), ": ")
			if !ok {
				return errors.New("a header is not NAME: VALUE")
			}
			req.Header.Add(name, value)
		}
	}
	return nil
}
