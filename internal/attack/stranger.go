package attack

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// strangerAttacks are what anybody can do who reaches the service's port.
var strangerAttacks = []attack{
	{name: "connections that send nothing", workers: 80, run: stayConnected},
	{name: "handshakes byte by byte", workers: 10, run: shakeHandsSlowly},
	{name: "long chains of certificates", workers: 4, run: sendChains},
	{name: "headers that do not end", workers: 10, run: withholdHeader},
	{name: "no credentials", workers: 2, run: sendNoCredentials, meets: []string{"401"}},
	{name: "bodies without credentials", workers: 2, run: sendBodies, meets: []string{"401", "closed"}},
	{name: "certificates of another CA", workers: 2, run: forgeCertificates, meets: []string{"closed", "401"}},
}

func stayConnected(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, 10*step) {
		c, err := t.dial(ctx, strangerCrowdAddress)
		if err != nil {
			o.add("not connected")
			continue
		}
		o.add("connected")
		_, _ = io.Copy(io.Discard, c) // until the service closes it
		_ = c.Close()
	}
}

// dripping is a connection that sends byte by byte.
type dripping struct {
	ctx context.Context
	io.Writer
}

func (d dripping) Write(p []byte) (int, error) {
	for i := range p {
		if !pause(d.ctx, 20*time.Millisecond) {
			return i, d.ctx.Err()
		}
		if _, err := d.Writer.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func shakeHandsSlowly(ctx context.Context, t *Target, o *Outcome) {
	// The begin of a TLS record with a ClientHello of 16 kB.
	hello := "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + strings.Repeat("r", 32)
	for pause(ctx, step) {
		c, err := t.dial(ctx, strangerCrowdAddress)
		if err != nil {
			o.add("not connected")
			continue
		}
		_, err = io.WriteString(dripping{ctx, c}, hello)
		if err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
		o.add("ended")
		_ = c.Close()
	}
}

func sendChains(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, step) {
		// With TLS 1.3 the handshake ends for the client before the service has verified the certificate.
		o.addRefusal(t.exchange(ctx, strangerAddress, "GET "+t.Path+"/"+t.Victim+" HTTP/1.1\r\nHost: localhost\r\n\r\n", t.Chain))
	}
}

func withholdHeader(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, step) {
		o.addRefusal(t.exchange(ctx, strangerCrowdAddress, "GET "+t.Path+"/"+t.Victim+" HTTP/1.1\r\nHost: localhost\r\nX: "))
	}
}

func sendNoCredentials(ctx context.Context, t *Target, o *Outcome) {
	c := t.client(strangerAddress)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.addRefusal(send(c, t.request(ctx, http.MethodGet, t.Victim, "", "")))
		o.addRefusal(send(c, t.request(ctx, http.MethodDelete, t.Victim, t.Token[:len(t.Token)-1], "")))
	}
}

func sendBodies(ctx context.Context, t *Target, o *Outcome) {
	c, body := t.client(strangerAddress), strings.Repeat("x", t.Size)
	defer c.CloseIdleConnections()
	for pause(ctx, step) {
		o.addRefusal(send(c, t.request(ctx, http.MethodPut, t.Victim, "", body)))
	}
}

func forgeCertificates(ctx context.Context, t *Target, o *Outcome) {
	for pause(ctx, step) {
		c := t.client(strangerAddress, t.Forged)
		o.addRefusal(send(c, t.request(ctx, http.MethodDelete, t.Victim, "", "")))
		c.CloseIdleConnections()
	}
}
