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

// nodeCertificate is the file that cassandra.yaml names as the keystore of the client port: key and certificate, PEM.
const nodeCertificate = "/etc/cassandra/node.pem"

// ReplaceCertificate gives n another key and certificate of the same CA, in its right name, valid for so long from now; where
// validFor is negative it has expired already. A running node takes it for connections made from then on (nodetool
// reloadssl) and keeps those there are; one that does not run takes it when it starts.
func (n *Node) ReplaceCertificate(ctx context.Context, validFor time.Duration) error {
	now := time.Now()
	leaf := n.leaf()
	leaf.NotAfter = now.Add(validFor)
	leaf.NotBefore = now.Add(min(0, validFor) - time.Hour)
	return n.certify(ctx, leaf)
}

// InstallWrongCertificate gives n a certificate of the same CA that is for another node's name and address (192.0.2.1, RFC 5737),
// as ReplaceCertificate does. ReplaceCertificate gives it a right one again. Until then CQL and CQLAt find an ErrNoConnection, and
// Start, which waits for CQL, waits until ctx ends.
func (n *Node) InstallWrongCertificate(ctx context.Context) error {
	return n.certify(ctx, devca.Leaf{CommonName: "another node", IPs: []net.IP{net.IPv4(192, 0, 2, 1)}})
}

// leaf is what n's certificate is to be.
func (n *Node) leaf() devca.Leaf {
	return devca.Leaf{CommonName: n.Name, IPs: []net.IP{net.ParseIP(n.Address)}}
}

func (n *Node) certify(ctx context.Context, leaf devca.Leaf) error {
	cert, key, err := n.cluster.ca.Issue(leaf)
	if err != nil {
		return err
	}
	if err := n.put(ctx, nodeCertificate, append(key, cert...)); err != nil {
		return fmt.Errorf("writing a certificate for node %s: %w", n.Name, err)
	}
	state, err := n.state(ctx)
	if err != nil || !state.Running {
		return err
	}
	_, err = n.Nodetool(ctx, "reloadssl")
	return err
}

// put writes a file into n's container, whether it runs or not.
func (n *Node) put(ctx context.Context, name string, content []byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	// Cassandra does not run as root.
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
