package attack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"userinfo/access/signature"
)

// clientAttacks are what one client can do with its own credentials.
var clientAttacks = []attack{
	{name: "bodies whose last byte is withheld", workers: 6, run: withholdBodies, meets: []string{"408", "429", "503"}},
	{name: "large values", workers: 2, run: setLargeValues},
	{name: "large values that are not read", workers: 6, run: readSlowly},
	{name: "many connections", workers: 80, run: holdConnection, meets: []string{"closed"}},
	{name: "a high rate", workers: 4, run: flood, meets: []string{"429"}},
	{name: "absent keys", workers: 2, run: guess, meets: []string{"429"}},
	{name: "keys of others", workers: 2, run: readOthers, meets: []string{"403", "429"}},
	{name: "wrong signatures", workers: 2, run: forgeSignatures, meets: []string{"401"}},
	{name: "many nonces", workers: 2, run: fillNonces},
	{name: "the same signature again", workers: 1, run: replay, meets: []string{"401", "429"}},
}

func withholdBodies(ctx context.Context, t *Target, o *Outcome) {
	head := fmt.Sprintf("PUT %s/mallory%%3Abody HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n",
		t.Path, string(t.Token), t.Size)
	body := strings.Repeat("x", t.Size-1)
	for pause(ctx, step) {
		o.add(t.exchange(ctx, malloryAddress, head+body))
	}
}

// status reads a response and returns its status, or "closed".
func status(r io.Reader) string {
	res, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return "closed"
	}
	_ = res.Body.Close()
	return fmt.Sprint(res.StatusCode)
}

func setLargeValues(ctx context.Context, t *Target, o *Outcome) {
	c, value := t.client(malloryAddress), strings.Repeat("x", t.Size)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.add(send(c, t.request(ctx, http.MethodPut, "mallory%3Alarge", t.Token, value)))
	}
}

func readSlowly(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, step) {
		c, err := t.dialTLS(ctx, malloryAddress)
		if err != nil {
			o.add("closed")
			continue
		}
		_, _ = fmt.Fprintf(c, "GET %s/mallory%%3Alarge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", t.Path, string(t.Token))
		o.add("asked")
		one := make([]byte, 1)
		for pause(ctx, 5*step) {
			if _, err := c.Read(one); err != nil {
				break
			}
		}
		o.add("ended")
		_ = c.NetConn().Close()
	}
}

// holdConnection sends one request, so that the connection belongs to the client, and keeps the connection.
func holdConnection(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, 10*step) {
		c, err := t.dialTLS(ctx, malloryCrowdAddress)
		if err != nil {
			o.add("closed")
			continue
		}
		_, _ = fmt.Fprintf(c, "GET %s/mallory%%3Asmall HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", t.Path, string(t.Token))
		o.add(status(c))
		_, _ = io.Copy(io.Discard, c) // until the service closes it
		_ = c.NetConn().Close()
	}
}

func flood(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step/10) {
		o.add(send(c, t.request(ctx, http.MethodGet, "mallory%3Asmall", t.Token, "")))
	}
}

var guesses atomic.Int64

func guess(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.addRefusal(send(c, t.request(ctx, http.MethodGet, fmt.Sprintf("mallory%%3Aabsent-%d", guesses.Add(1)), t.Token, "")))
	}
}

func readOthers(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			o.addRefusal(send(c, t.request(ctx, method, t.Victim, t.Token, "")))
		}
	}
}

func forgeSignatures(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.addRefusal(send(c, signed(t.request(ctx, http.MethodGet, t.Victim, "", ""), t.Forger)))
	}
}

func fillNonces(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.add(send(c, signed(t.request(ctx, http.MethodGet, "mallory%3Asmall", "", ""), t.Signer)))
	}
}

func replay(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(malloryAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		r := signed(t.request(ctx, http.MethodGet, "mallory%3Asmall", "", ""), t.Signer)
		if send(c, r) == "200" {
			o.addRefusal(send(c, r))
		} else {
			o.add("429")
		}
	}
}

// signed signs a request without a body.
func signed(r *http.Request, s signature.Signer) *http.Request {
	if err := s.Sign(r, nil); err != nil {
		panic(err) // the requests of this package can be signed
	}
	return r
}
