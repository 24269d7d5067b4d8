package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"userinfo/tlsconf"
)

const (
	healthcheckTimeout = 3 * time.Second // of the whole check; /readyz waits up to 1 s for Cassandra
	maxHealthAnswer    = 4 << 10         // bytes of the response body that are read
)

// healthcheckOptions are the flags of healthcheck.
type healthcheckOptions struct {
	config, url, ca string
	ready           bool
}

func healthcheckCommand() *cobra.Command {
	var o healthcheckOptions
	c := &cobra.Command{
		Use:   "healthcheck {--config FILE | --url URL [--ca FILE]} [--ready]",
		Short: "Ask an instance whether it is alive or ready",
		Long: `Healthcheck asks /healthz of an instance, or /readyz with --ready. It prints one line. It exits with 0 if the instance
answers 200 within 3 s, and otherwise with 1. It sends no credentials.

With --config it asks the instance that serves with this configuration on this machine, at the address of listen. If
proxies.proxy_protocol lists this machine, it sends a PROXY protocol header. It does not verify the instance's certificate,
because the configuration does not name its CA, and because a certificate that cannot be reloaded must not make an instance
look dead. If the instance serves another certificate than the one in tls.certificate, the line says so.

With --url it asks any instance, such as https://userinfo.example:8443, and verifies its certificate with the CA in --ca, or
with the CAs of this machine.`,
		Example: `  userinfo healthcheck --config /etc/userinfo/userinfo.yaml
  userinfo healthcheck --ready --url https://userinfo.example:8443 --ca ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := o.healthcheck()
			if err != nil {
				return err
			}
			answer, err := h.ask(c.Context())
			if err == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", h.url, answer)
			}
			return failed(err)
		},
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` of the instance on this machine")
	f.StringVar(&o.url, "url", "", "`URL` of an instance: https:// and a host, with a port if it is not 443")
	f.StringVar(&o.ca, "ca", "", "`FILE` with the CA of the certificate of the instance, for --url")
	f.BoolVar(&o.ready, "ready", false, "ask /readyz, which is 200 only while the instance can use Cassandra")
	c.MarkFlagsOneRequired("config", "url")
	c.MarkFlagsMutuallyExclusive("config", "url")
	c.MarkFlagsMutuallyExclusive("config", "ca")
	cobra.CheckErr(errors.Join(c.MarkFlagFilename("config", "yaml", "yml"), c.MarkFlagFilename("ca")))
	return c
}

// healthcheck is one request to one instance.
type healthcheck struct {
	url         string // of /healthz or /readyz
	tls         *tls.Config
	proxies     *tlsconf.Proxies // that the instance trusts; nil without a configuration
	certificate string           // file with the certificate that the instance should serve; empty: not compared
}

// healthcheck returns the request that the flags describe.
func (o healthcheckOptions) healthcheck() (h healthcheck, err error) {
	path := "/healthz"
	if o.ready {
		path = "/readyz"
	}
	if o.config != "" {
		h, err = ownHealthcheck(o.config)
	} else {
		h, err = remoteHealthcheck(o.url, o.ca)
	}
	h.url += path
	return h, err
}

// ownHealthcheck returns the request to the instance that serves with a configuration. It reads no secret file.
func ownHealthcheck(name string) (healthcheck, error) {
	f, err := loadConfig(name)
	if err != nil {
		return healthcheck{}, err
	}
	address, err := ownAddress(f.Listen)
	if err != nil {
		return healthcheck{}, err
	}
	proxies, err := tlsconf.NewProxies(f.Proxies.ProxyProtocol)
	if err != nil {
		return healthcheck{}, err // loadConfig has checked them
	}
	return healthcheck{
		url: "https://" + address,
		// The request contains no secret, and the answer is one bit. See the help of the command.
		tls:         &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		proxies:     proxies,
		certificate: f.TLS.Certificate,
	}, nil
}

// ownAddress returns the address at which this machine reaches its own listener.
func ownAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	if port == "0" {
		return "", errors.New("listen has port 0, so only the instance knows its port: use --url")
	}
	if address, err := netip.ParseAddr(host); host == "" || err == nil && address.IsUnspecified() {
		host = "127.0.0.1" // a listener on every address of IPv6 serves IPv4 too
	}
	return net.JoinHostPort(host, port), nil
}

// remoteHealthcheck returns the request to the instance at a URL.
func remoteHealthcheck(base, ca string) (healthcheck, error) {
	host, err := instanceHost(base)
	if err != nil {
		return healthcheck{}, fmt.Errorf("--url: %w", err)
	}
	cas, err := readCAs(ca)
	if err != nil {
		return healthcheck{}, fmt.Errorf("--ca: %w", err)
	}
	return healthcheck{url: "https://" + host, tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cas}}, nil
}

// ask sends the request and returns what a healthy instance says. Any other response is an error, and so is no response within
// healthcheckTimeout.
func (h healthcheck) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url, nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Transport{TLSClientConfig: h.tls, DialContext: h.dial, DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("%s: %w", h.url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthAnswer))
	if err != nil {
		return "", fmt.Errorf("%s: reading the answer: %w", h.url, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s%s", h.url, printable(response.Status), refusal(response.StatusCode, body))
	}
	return printable(string(body)) + h.difference(response.TLS.PeerCertificates[0]), nil
}

// difference returns a remark if the instance serves another certificate than the one in its file, and otherwise an empty text.
func (h healthcheck) difference(served *x509.Certificate) string {
	if h.certificate == "" {
		return ""
	}
	want, err := readCertificates(h.certificate)
	switch {
	case err != nil:
		return ", but tls.certificate cannot be read: " + err.Error()
	case !want[0].Equal(served):
		return ", but the instance serves another certificate than the one in tls.certificate: if this lasts longer than 5 s, its log says why"
	}
	return ""
}

// dial connects to the instance.
func (h healthcheck) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := h.proxies.WriteLocalHeader(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// refusal returns the reason in a response whose status is not 200. It is printed after the status.
func refusal(status int, body []byte) string {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return ": the audience health does not let this machine in; add a rule such as {network: [127.0.0.0/8]}"
	}
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		return ""
	}
	return ": " + printable(problem.Detail)
}

// printable returns text as one line without control characters. The peer may be another program than UserInfo.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.TrimSpace(text))
}
