package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"userinfo/access/signature"
	"userinfo/internal/keyfile"
)

// signOptions are the flags and the argument of sign.
type signOptions struct {
	keyFile, keyID, method, ttl, bodyFile, url string
}

func signCommand() *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign --key FILE --keyid ID URL",
		Short: "Print the headers that sign one request",
		Long: `Sign prints the header lines of a signed request (RFC 9421), for curl -H @- to read. The signature is good for one request
and for one minute. Escape the session key in the URL, as in https://HOST/sessions/v1/enwiki%3Asession%3A1.`,
		Example: `  userinfo sign --key wiki.key --keyid wiki-1 $URL | curl -H @- $URL
  userinfo sign --key wiki.key --keyid wiki-1 --method PUT --body v $URL | curl -H @- -X PUT --data-binary @v $URL`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.url = args[0]
			lines, err := o.headers()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), lines)
			return failed(err)
		},
	}
	f := c.Flags()
	f.StringVar(&o.keyFile, "key", "", "`FILE` of the signature key (required)")
	f.StringVar(&o.keyID, "keyid", "", "`ID` of the key in the service's configuration (required)")
	f.StringVar(&o.method, "method", http.MethodGet, "`METHOD` of the request")
	f.StringVar(&o.ttl, "ttl", "", "value of the request's TTL header, in `SECONDS`; without it the request has no TTL header")
	f.StringVar(&o.bodyFile, "body", "", "`FILE` with the request's body; without it the request has no body")
	cobra.CheckErr(errors.Join(c.MarkFlagRequired("key"), c.MarkFlagRequired("keyid"), c.MarkFlagFilename("key"), c.MarkFlagFilename("body")))
	return c
}

// headers returns the header lines that the request needs in addition to those that curl sends.
func (o signOptions) headers() (string, error) {
	key, err := keyfile.Read(o.keyFile, func(text []byte) (signature.SigningKey, error) {
		return signature.ParseSigningKey(o.keyID, text)
	})
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	var body []byte
	if o.bodyFile != "" {
		if body, err = os.ReadFile(o.bodyFile); err != nil {
			return "", fmt.Errorf("--body: %w", err)
		}
	}
	r, err := http.NewRequest(o.method, o.url, nil)
	if err != nil {
		return "", errors.New("the method or the URL is not valid; escape the session key, as in https://HOST/sessions/v1/enwiki%3Asession%3A1")
	}
	// curl sends the path as it was given; net/http would escape it.
	if sent, _, _ := strings.Cut(o.url, "#"); !strings.HasSuffix(sent, r.URL.RequestURI()) {
		return "", errors.New("the URL has no path, or a character that must be percent-encoded")
	}
	if o.ttl != "" {
		r.Header.Set("TTL", o.ttl)
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
