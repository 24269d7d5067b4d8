package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"userinfo/internal/keyfile"
	"userinfo/internal/top"
)

// topOptions are the flags of top.
type topOptions struct {
	urls                                 []string
	caFile, certFile, keyFile, tokenFile string
	interval                             time.Duration
	once                                 bool
}

// minTopInterval is the shortest time between two scrapes. A scrape costs an instance some milliseconds.
const minTopInterval = 100 * time.Millisecond

func topCommand() *cobra.Command {
	var o topOptions
	c := &cobra.Command{
		Use:   "top --url URL [--url URL…] [--ca FILE] [--cert FILE --key FILE | --token-file FILE]",
		Short: "Show what instances do now: rates, latency, errors, clients",
		Long: `Top reads /metrics of one or several instances again and again, and shows rates, latencies, errors by problem, the state of
Cassandra, pending deletes, the busiest clients, and the keys that are rewritten most, as keyed hashes. An instance that does
not answer is shown as down. Ctrl-C ends it.

The client needs the grant metrics:get and, for the rewritten keys, operators:get. With --once, top prints one screen after
one interval; its exit code is 1 if an instance did not answer.`,
		Example: `  userinfo top --url https://10.64.0.21:8443 --url https://10.64.0.22:8443 --ca ca.crt --cert ops.crt --key ops.key
  userinfo top --once --interval 10s --url https://userinfo.example:8443 --token-file ops.token`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringArrayVar(&o.urls, "url", nil, "`URL` of an instance, https://HOST:PORT; once for each instance (required)")
	f.StringVar(&o.caFile, "ca", "", "`FILE` with the CA of the instances' certificates; by default the system's CAs are trusted")
	f.StringVar(&o.certFile, "cert", "", "`FILE` with the client's certificate")
	f.StringVar(&o.keyFile, "key", "", "`FILE` with the private key of the client's certificate")
	f.StringVar(&o.tokenFile, "token-file", "", "`FILE` with the client's bearer token alone")
	f.DurationVar(&o.interval, "interval", 2*time.Second, "`TIME` between two looks")
	f.BoolVar(&o.once, "once", false, "print one screen and exit")
	c.MarkFlagsRequiredTogether("cert", "key")
	cobra.CheckErr(errors.Join(c.MarkFlagRequired("url"), c.MarkFlagFilename("ca"), c.MarkFlagFilename("cert"), c.MarkFlagFilename("key"), c.MarkFlagFilename("token-file")))
	c.RunE = func(c *cobra.Command, _ []string) error {
		instances, err := o.instances()
		if err != nil {
			return err
		}
		client, err := o.client()
		if err != nil {
			return err
		}
		defer client.HTTP.CloseIdleConnections()
		out := c.OutOrStdout()
		err = top.Run(c.Context(), top.Config{
			Instances: instances, Interval: o.interval, Once: o.once, Fetch: client.Fetch, Out: out, Now: time.Now,
			Size: func() (width, height int) { return terminalSize(out) },
		})
		return failed(err)
	}
	return c
}

// instances returns the instances of the flags.
func (o topOptions) instances() (all []top.Instance, err error) {
	if o.interval < minTopInterval {
		return nil, fmt.Errorf("--interval: must be at least %v", minTopInterval)
	}
	for _, text := range o.urls {
		host, err := instanceHost(text)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		all = append(all, top.Instance{Name: host, URL: "https://" + host})
	}
	return all, nil
}

// client returns a client with the credentials of the flags. It follows no redirect, so that no other host gets them.
func (o topOptions) client() (top.Client, error) {
	cas, err := readCAs(o.caFile)
	if err != nil {
		return top.Client{}, fmt.Errorf("--ca: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cas}
	if o.certFile != "" {
		pair, err := readPair(o.certFile, o.keyFile)
		if err != nil {
			return top.Client{}, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c := top.Client{HTTP: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o.tokenFile != "" {
		if c.Authorization, err = readBearer(o.tokenFile); err != nil {
			return top.Client{}, fmt.Errorf("--token-file: %w", err)
		}
	}
	return c, nil
}

// readPair reads a certificate chain and its private key, which is a secret file.
func readPair(certFile, keyFile string) (tls.Certificate, error) {
	chain, err := keyfile.ReadPublic(certFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("--cert: %w", err)
	}
	pair, err := keyfile.Read(keyFile, func(key []byte) (tls.Certificate, error) { return tls.X509KeyPair(chain, key) })
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("--key: %w", err)
	}
	return pair, nil
}

// terminalSize returns the size of the terminal that out is; zeros if out is not a terminal.
func terminalSize(out any) (width, height int) {
	file, ok := out.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}
