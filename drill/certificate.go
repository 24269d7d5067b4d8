package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"userinfo/internal/devca"
	"userinfo/internal/fleet"
)

// serverLeaf is the service's certificate, good for as long as that; or expired as long ago, where it is negative.
func serverLeaf(valid time.Duration) devca.Leaf {
	leaf := devca.Loopback()
	leaf.NotAfter = time.Now().Add(valid)
	leaf.NotBefore = leaf.NotAfter.Add(-48 * time.Hour)
	return leaf
}

// clientCertificate asks with a certificate that expires meanwhile, on a connection that is kept, and then with another.
// What must happen is checked here: the client is no part of the load.
func clientCertificate(ctx context.Context, d *drill, length time.Duration) error {
	began := time.Now()
	for n := 0; time.Since(began) < length; n++ {
		if err := d.oneClientCertificate(ctx, d.instances[n%len(d.instances)]); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) oneClientCertificate(ctx context.Context, i *fleet.Instance) error {
	const life = 3 * time.Second
	expires := time.Now().Add(life)
	client, err := d.fleet.Client(fleet.Probe, expires)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for {
		asked := time.Now()
		status, err := d.probe(ctx, client, i)
		answered := time.Now()
		switch {
		case answered.Before(expires) && (err != nil || status != http.StatusNotFound):
			return fmt.Errorf("instance %s answered a client whose certificate is good for another %v with %d: %w", i.Name, expires.Sub(answered), status, err)
		case asked.After(expires.Add(time.Second)) && err == nil && status != http.StatusUnauthorized:
			return fmt.Errorf("instance %s answered a client whose certificate has expired with %d", i.Name, status)
		case asked.After(expires.Add(time.Second)):
			return nil // refused, by TLS or by the service
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (d *drill) probe(ctx context.Context, client *http.Client, i *fleet.Instance) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL("kask")+"nobody", nil)
	if err != nil {
		return 0, err
	}
	answer, err := client.Do(r)
	if err != nil {
		var alert tls.AlertError
		if errors.As(err, &alert) {
			return 0, fmt.Errorf("TLS refused: %w", err)
		}
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}
