package testcluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net"
	"path"
	"time"

	"github.com/moby/moby/client"

	"userinfo/internal/devca"
)

// nodeCertificate is the keystore of the client port in cassandra.yaml. It contains a key and a certificate in PEM.
const nodeCertificate = configDir + "node.pem"

// ReplaceCertificate gives n a new key and a certificate of the same CA for its own address, which expires after
// validFor. With a negative validFor it has expired already. A running node uses it for new connections (nodetool
// reloadssl) and keeps existing ones. A node that does not run uses it when it starts.
func (n *Node) ReplaceCertificate(ctx context.Context, validFor time.Duration) error {
	now := time.Now()
	leaf := n.leaf()
	leaf.NotAfter = now.Add(validFor)
	leaf.NotBefore = now.Add(min(0, validFor) - time.Hour)
	return n.installCertificate(ctx, leaf)
}

// InstallWrongCertificate gives n a certificate of the same CA for another name and address (192.0.2.1, RFC 5737).
// Until ReplaceCertificate is called, CQL and CQLAt return ErrNoConnection and Start waits until its context ends.
func (n *Node) InstallWrongCertificate(ctx context.Context) error {
	return n.installCertificate(ctx, devca.Leaf{CommonName: "another node", IPs: []net.IP{net.IPv4(192, 0, 2, 1)}})
}

// leaf returns the description of n's certificate.
func (n *Node) leaf() devca.Leaf {
	return devca.Leaf{CommonName: n.Name, IPs: []net.IP{net.ParseIP(n.Address)}}
}

// installCertificate issues a certificate, writes it into n's container, and makes a running node reload it.
func (n *Node) installCertificate(ctx context.Context, leaf devca.Leaf) error {
	cert, key, err := n.cluster.ca.Issue(leaf)
	if err != nil {
		return err
	}
	if err := n.writeFile(ctx, nodeCertificate, append(key, cert...)); err != nil {
		return fmt.Errorf("writing a certificate for node %s: %w", n.Name, err)
	}
	state, err := n.state(ctx)
	if err != nil || !state.Running {
		return err
	}
	_, err = n.Nodetool(ctx, "reloadssl")
	return err
}

// writeFile writes a file into n's container, whether the node runs or not.
func (n *Node) writeFile(ctx context.Context, name string, content []byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	// Mode 0644, because Cassandra does not run as root.
	header := &tar.Header{Name: path.Base(name), Mode: 0o644, Size: int64(len(content)), ModTime: time.Now()}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := n.cluster.docker.CopyToContainer(ctx, n.id, client.CopyToContainerOptions{
		DestinationPath: path.Dir(name), Content: &archive,
	})
	return err
}
