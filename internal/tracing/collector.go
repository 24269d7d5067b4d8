package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// sendTimeout is the longest time of one attempt to send a batch.
	sendTimeout = 10 * time.Second
	// connectTimeout is the longest time to connect, and again for the TLS handshake.
	connectTimeout = 3 * time.Second
	// maxResponse is how much of a response is read, in bytes.
	maxResponse = 64 << 10

	contentType = "application/x-protobuf"
)

// Collector sends batches to a collector by HTTP. It uses no proxy, follows no redirect and reads no environment variable, so
// that headers with a credential go to the configured endpoint only.
type Collector struct {
	endpoint string
	headers  func() (http.Header, error)
	client   *http.Client
}

// NewCollector returns a Collector for the URL of an endpoint. headers returns what is added to each request; it is called for
// each attempt, so that a credential can change. config verifies the collector's certificate.
func NewCollector(endpoint string, config *tls.Config, headers func() (http.Header, error)) *Collector {
	return &Collector{
		endpoint: endpoint,
		headers:  headers,
		client: &http.Client{
			Timeout:       sendTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
				TLSClientConfig:     config,
				TLSHandshakeTimeout: connectTimeout,
				ForceAttemptHTTP2:   true,
				MaxIdleConns:        1,
				IdleConnTimeout:     time.Minute,
			},
		},
	}
}

// Send is a Sender. Its errors contain no header and nothing of the response's body.
func (c *Collector) Send(ctx context.Context, batch []byte) (rejected int64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(batch))
	if err != nil {
		return 0, err
	}
	if r.Header, err = c.headers(); err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "userinfo")
	res, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if failure := statusError(res); failure != nil {
		return 0, failure
	}
	if err != nil {
		return 0, err
	}
	return rejectedSpans(body), nil
}

// statusError returns the error for a response that is not a success.
func statusError(res *http.Response) error {
	err := fmt.Errorf("the collector answered status %d", res.StatusCode)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // 0 if it is a date or missing
		return &busyError{err, time.Duration(max(seconds, 0)) * time.Second}
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// rejectedSpans returns how many spans of an accepted batch the collector has rejected. It returns 0 if the response cannot be
// decoded, because some collectors send another body.
func rejectedSpans(body []byte) int64 {
	var response collectorpb.ExportTraceServiceResponse
	if err := proto.Unmarshal(body, &response); err != nil {
		return 0
	}
	return response.GetPartialSuccess().GetRejectedSpans()
}

// ownHeaders are the headers that the service or net/http sets.
var ownHeaders = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// ParseHeaders parses the content of a file with headers: one NAME: VALUE in each line. Empty lines are ignored. Its errors
// quote nothing of the text, because it is secret.
func ParseHeaders(text []byte) (http.Header, error) {
	headers := make(http.Header)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !isHeaderName(name) || !isHeaderValue(value) {
			return nil, fmt.Errorf("line %d is not NAME: VALUE, such as Authorization: Bearer TOKEN", number)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if slices.Contains(ownHeaders, name) {
			return nil, fmt.Errorf("line %d: the service sets this header itself; remove the line", number)
		}
		if headers[name] != nil {
			return nil, fmt.Errorf("line %d: this header is there already; remove one of the lines", number)
		}
		headers[name] = []string{value}
	}
	if len(headers) == 0 {
		return nil, errors.New("the file is empty; put a header such as Authorization: Bearer TOKEN into it")
	}
	return headers, nil
}

func isHeaderName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// isHeaderValue reports whether s is visible ASCII, with spaces inside.
func isHeaderValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
