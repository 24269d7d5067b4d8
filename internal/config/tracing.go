package config

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/internal/tracing"
	"userinfo/tlsconf"
)

// Tracing says where spans of requests are sent: to a collector of OpenTelemetry, by OTLP over HTTP.
type Tracing struct {
	// Endpoint is the URL of the collector. Without a path, /v1/traces is added. It begins with https://, except for a collector
	// on a loopback address. Default: none, no request is traced.
	Endpoint string `yaml:"endpoint"`
	// CA is a PEM bundle of the CAs that sign the collector's certificate. Default: the CAs of the system.
	CA string `yaml:"ca"`
	// HeadersFile holds headers for the collector, one NAME: VALUE in each line, such as a credential. It is a secret file, and is
	// read for each batch. Default: none.
	HeadersFile string `yaml:"headers_file"`
	// SampleRatio is the part of the requests of known clients without a traceparent that is traced, from 0 to 1. With a
	// traceparent, its flag decides. Default 0.01.
	SampleRatio *float64 `yaml:"sample_ratio"`
	// ServiceName is the name of the service in the collector. Default userinfo.
	ServiceName string `yaml:"service_name"`
}

// tracesPath is the path of an endpoint that has none.
const tracesPath = "/v1/traces"

func (t *Tracing) applyDefaults() {
	if !t.IsOn() {
		return
	}
	setDefaultPointer(&t.SampleRatio, 0.01)
	setDefault(&t.ServiceName, "userinfo")
}

// IsOn reports whether requests are traced.
func (t *Tracing) IsOn() bool { return t.Endpoint != "" }

// validate returns every mistake. It fails closed: spans, and the headers with a credential, are never sent without TLS to another
// machine.
func (t *Tracing) validate() error {
	if !t.IsOn() {
		if *t != (Tracing{}) {
			return field.Errorf("tracing.endpoint", "missing: give the URL of a collector, such as https://collector.example:4318, or remove tracing")
		}
		return nil
	}
	var errs []error
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, field.Errorf("tracing.endpoint", "give a URL, such as https://collector.example:4318"))
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		errs = append(errs, field.Errorf("tracing.endpoint", "give a URL without user, query and fragment; put a credential into tracing.headers_file"))
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		errs = append(errs, field.Errorf("tracing.endpoint", "use https://: only a collector on a loopback address, such as http://127.0.0.1:4318, may be without TLS"))
	case u.Scheme == "http" && t.CA != "":
		errs = append(errs, field.Errorf("tracing.ca", "the endpoint has no TLS, so nothing would be verified: remove ca, or use https://"))
	}
	if r := *t.SampleRatio; !(r >= 0 && r <= 1) { // also rejects NaN
		errs = append(errs, field.Errorf("tracing.sample_ratio", "must be from 0 to 1"))
	}
	return errors.Join(errs...)
}

// isLoopback reports whether a host is this machine. It fails closed: a name other than localhost may be anybody's.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// URL returns the URL to which spans are sent. The endpoint must be valid.
func (t *Tracing) URL() string {
	u, err := url.Parse(t.Endpoint)
	if err != nil {
		return "" // impossible: validate has parsed it
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = tracesPath
	}
	return u.String()
}

// Headers reads the headers for the collector. Its errors do not contain the name of the file, because somebody may have written
// the credential itself there.
func (t *Tracing) Headers() (http.Header, error) {
	if t.HeadersFile == "" {
		return make(http.Header), nil
	}
	return readKey("tracing.headers_file", t.HeadersFile, keyfile.Read, tracing.ParseHeaders)
}

// open reads and checks the files, and returns the TLS settings for the collector.
func (t *Tracing) open(now func() time.Time) (*tls.Config, error) {
	if !t.IsOn() {
		return nil, nil
	}
	_, headersErr := t.Headers()
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA == "" {
		return config, headersErr
	}
	c, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: t.CA}, now)
	if err != nil {
		return nil, errors.Join(headersErr, fieldErrors("tracing", err))
	}
	return c.Config(), headersErr
}
