package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/devca"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// reloaded is longer than the service takes to see a changed file: twice the same, 2 s apart.
const reloaded = 6 * time.Second

// certificateFaults are changes of certificates, right and wrong, under load.
func certificateFaults() []fault {
	return []fault{
		{name: "certificate-rotation", what: "the service's certificate replaced, again and again", expect: history.Strain, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				for end := time.Now().Add(length); time.Now().Before(end); {
					if err := d.fleet.ReplaceCertificate(serverLeaf(24 * time.Hour)); err != nil || !sleep(ctx, reloaded) {
						return errors.Join(err, ctx.Err())
					}
				}
				return nil
			}},
		{name: "certificate-expired", what: "the service's certificate replaced by one that has expired", expect: history.Strain,
			begin: func(_ context.Context, d *drill) error { return d.fleet.ReplaceCertificate(serverLeaf(-time.Hour)) },
			end:   func(_ context.Context, d *drill) error { return d.fleet.ReplaceCertificate(serverLeaf(24 * time.Hour)) }},
		{name: "certificate-client", what: "a client's certificate expires, and is replaced", expect: history.Strain, begin: nothing,
			during: clientCertificate},
		{name: "cassandra-certificates", what: "the certificates of all local nodes replaced", expect: history.Strain, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				began := time.Now()
				if err := eachNode(d.nodes("dc1"), func(n *testcluster.Node) error { return n.ReplaceCertificate(ctx, 24*time.Hour) }); err != nil {
					return err
				}
				sleep(ctx, length-time.Since(began))
				return ctx.Err()
			}},
		{name: "cassandra-wrong-name", what: "one node comes with a certificate of another name, and is started anew", expect: history.OneNode, rare: true,
			begin: func(ctx context.Context, d *drill) error { return d.victim().InstallWrongCertificate(ctx) },
			end:   func(ctx context.Context, d *drill) error { return d.victim().ReplaceCertificate(ctx, 24*time.Hour) }},
	}
}

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
	expires := time.Now().Add(life).Truncate(time.Second) // as certificates have it
	client, err := d.fleet.NewClient(fleet.ProbeClient, expires)
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
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.CollectionURL("kask")+"nobody", nil)
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
