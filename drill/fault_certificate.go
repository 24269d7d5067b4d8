package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/devca"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// reloadTime is longer than the service needs to load a changed file. It reads a file twice, 2 s apart.
const reloadTime = 6 * time.Second

// certificateFaults returns the changes of certificates.
func certificateFaults() []fault {
	serverCertificate := func(validFor time.Duration) action {
		return func(_ context.Context, r *run) error { return r.fleet.ReplaceCertificate(serverLeaf(validFor)) }
	}
	replace := func(n *testcluster.Node, ctx context.Context) error { return n.ReplaceCertificate(ctx, 24*time.Hour) }
	return []fault{
		{name: "certificate-rotation", description: "the certificate of the service is replaced every few seconds", expect: history.Strain,
			repeat: sequence(serverCertificate(24*time.Hour), wait(reloadTime))},
		{name: "certificate-expired", description: "the certificate of the service is replaced by an expired one", expect: history.Strain,
			begin: serverCertificate(-time.Hour), end: serverCertificate(24 * time.Hour)},
		{name: "certificate-client", description: "the certificate of a client expires and is replaced", expect: history.Strain,
			repeat: expireClientCertificate},
		{name: "cassandra-certificates", description: "the certificates of all local nodes are replaced", expect: history.Strain,
			begin: each(localNodes, replace)},
		{name: "cassandra-wrong-name", description: "one node has a certificate for another name", expect: history.OneNode, rare: true,
			begin: each(victim, (*testcluster.Node).InstallWrongCertificate), end: each(victim, replace)},
	}
}

// serverLeaf returns a certificate of the service that is valid for some time, or expired if validFor is negative.
func serverLeaf(validFor time.Duration) devca.Leaf {
	leaf := devca.Loopback()
	leaf.NotAfter = time.Now().Add(validFor)
	leaf.NotBefore = leaf.NotAfter.Add(-48 * time.Hour)
	return leaf
}

// expireClientCertificate sends requests on a kept connection with a client certificate that expires after 3 s. It returns an
// error if the service answers differently than it must: this client is not part of the recorded load.
func expireClientCertificate(ctx context.Context, r *run) error {
	expiry := time.Now().Add(3 * time.Second).Truncate(time.Second) // certificates have whole seconds
	client, err := r.fleet.NewClient(fleet.ProbeClient, expiry)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	instance := r.instances[int(expiry.Unix())%len(r.instances)]
	for {
		asked := time.Now()
		status, _, err := get(ctx, client, instance.CollectionURL("kask")+"unknown", "")
		answered := time.Now()
		switch {
		case answered.Before(expiry) && (err != nil || status != http.StatusNotFound):
			return fmt.Errorf("instance %s answered %d to a client whose certificate is valid for another %v: %w", instance.Name, status, expiry.Sub(answered), err)
		case asked.After(expiry.Add(time.Second)) && err == nil && status != http.StatusUnauthorized:
			return fmt.Errorf("instance %s answered %d to a client whose certificate has expired", instance.Name, status)
		case asked.After(expiry.Add(time.Second)):
			return nil // rejected by TLS or by the service
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}
