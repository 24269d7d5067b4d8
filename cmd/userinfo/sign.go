package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"userinfo/access/signature"
	"userinfo/internal/keyfile"
)

const signUsage = `usage: userinfo sign --key FILE --keyid ID [--method METHOD] [--ttl SECONDS] [--body FILE] URL
Prints the header lines of a signed request, for curl -H @- to read. They are good once, and for a minute:
  userinfo sign --key wiki.key --keyid wiki-1 --method PUT --body v $URL | curl -H @- -X PUT --data-binary @v $URL`

// signing is the command line of sign.
type signing struct {
	keyFile, keyID, method, ttl, bodyFile, url string
}

// sign prints the headers that sign one request.
func sign(_ context.Context, args []string, stdout, stderr io.Writer) int {
	var s signing
	flags := flag.NewFlagSet("sign", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.keyFile, "key", "", "")
	flags.StringVar(&s.keyID, "keyid", "", "")
	flags.StringVar(&s.method, "method", http.MethodGet, "")
	flags.StringVar(&s.ttl, "ttl", "", "")
	flags.StringVar(&s.bodyFile, "body", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 || s.keyFile == "" || s.keyID == "" {
		fmt.Fprintln(stderr, signUsage)
		return exitUsage
	}
	s.url = flags.Arg(0)
	lines, err := s.lines()
	if err != nil {
		fmt.Fprintln(stderr, "userinfo sign:", err)
		return exitUsage
	}
	fmt.Fprint(stdout, lines)
	return exitOK
}

// lines are the headers that the request takes beside those that curl sends anyway.
func (s signing) lines() (string, error) {
	key, err := keyfile.Read(s.keyFile, func(text []byte) (signature.SigningKey, error) {
		return signature.ParseSigningKey(s.keyID, text)
	})
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	var body []byte
	if s.bodyFile != "" {
		if body, err = os.ReadFile(s.bodyFile); err != nil {
			return "", fmt.Errorf("--body: %w", err)
		}
	}
	r, err := http.NewRequest(s.method, s.url, nil)
	if err != nil {
		return "", errors.New("the method or the URL cannot be used; escape the key, as in https://HOST/sessions/v1/enwiki%3Asession%3A1")
	}
	// curl sends a path as it was given, where net/http would escape it.
	if sent, _, _ := strings.Cut(s.url, "#"); !strings.HasSuffix(sent, r.URL.RequestURI()) {
		return "", errors.New("the URL has no path, or a character that must be percent-encoded")
	}
	if s.ttl != "" {
		r.Header.Set("TTL", s.ttl)
	}
	if err := (signature.Signer{Key: key}).Sign(r, body); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range []string{"TTL", "Content-Digest", "Signature-Input", "Signature"} {
		if value := r.Header.Get(name); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	return b.String(), nil
}
