package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"userinfo/internal/firewall"
)

func firewallCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "firewall",
		Short: "Print firewall rules",
		Long:  "Firewall prints the rules that let hosts of the service and of Cassandra talk to each other and keep out everybody else.",
	}, firewallPrintCommand())
}

func firewallPrintCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "print --config FILE --inventory FILE [--for HOSTS] [--format FORMAT]",
		Short: "Print firewall rules for the hosts of one datacentre",
		Long: `Print prints the firewall rules for the hosts of the service, or for the nodes of Cassandra, in the datacentre of the
configuration. The ports, the contact points and the networks of clients and proxies are in the configuration. The inventory says
which hosts and networks there are. The command refuses an inventory that lacks something that the configuration names.

The output for nftables is a file for nft -f. It replaces the table userinfo only. The output for Kubernetes is a
NetworkPolicy for the pods of the service. The command does not connect to anything and does not read the files that the
configuration names.`,
		Example: `  userinfo firewall print --config userinfo.yaml --inventory inventory.yaml >userinfo.nft
  userinfo firewall print --config userinfo.yaml --inventory inventory.yaml --for cassandra >cassandra.nft
  userinfo firewall print --config userinfo.yaml --inventory inventory.yaml --format kubernetes | kubectl apply -f -`,
		Args: cobra.NoArgs,
	}
	file := addConfigFlag(c)
	inventory := c.Flags().String("inventory", "", "inventory `FILE` (required)")
	hosts := c.Flags().String("for", string(firewall.Service), "the `HOSTS` that the rules are for: service or cassandra")
	format := c.Flags().String("format", formatNFTables, "`FORMAT` of the rules: nftables or kubernetes")
	cobra.CheckErr(errors.Join(c.MarkFlagRequired("inventory"), c.MarkFlagFilename("inventory", "yaml", "yml")))
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := firewallText(*file, *inventory, firewall.Hosts(*hosts), *format)
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.OutOrStdout(), text)
		return failed(err)
	}
	return c
}

// Formats of firewall rules.
const (
	formatNFTables   = "nftables"
	formatKubernetes = "kubernetes"
)

// firewallText returns the rules for hosts in a format.
func firewallText(file, inventory string, hosts firewall.Hosts, format string) (string, error) {
	if !hosts.IsValid() {
		return "", fmt.Errorf("--for must be %s or %s", firewall.Service, firewall.Cassandra)
	}
	if format != formatNFTables && format != formatKubernetes {
		return "", fmt.Errorf("--format must be %s or %s", formatNFTables, formatKubernetes)
	}
	c, err := loadConfig(file)
	if err != nil {
		return "", err
	}
	inv, err := firewall.Load(inventory)
	if err != nil {
		return "", configError{err}
	}
	rules, err := firewall.New(c, inv, hosts)
	if err != nil {
		return "", configError{err}
	}
	source := filepath.Base(file) + " and " + filepath.Base(inventory)
	if format == formatNFTables {
		return rules.NFTables(source), nil
	}
	return rules.NetworkPolicy(source)
}
