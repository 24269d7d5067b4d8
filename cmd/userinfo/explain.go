package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"userinfo/access"
	"userinfo/internal/keyfile"
)

// checkConfig says whether a configuration and its files are right, and who may do what; or, with --as, whether one
// request would be allowed.
func checkConfig(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check-config", flag.ContinueOnError)
	as := flags.String("as", "", "who would ask: `WHO` is any of certificate=FILE, token=FILE, signature=KEYID and address=ADDRESS, with commas between")
	may := flags.String("may", "", "with --as: the `GRANT` that the request would need, such as sessions:get, or health:get")
	keyFile := flags.String("key-file", "", "with --as, for a grant on a collection: the `FILE` with the session key and, perhaps, a line end; - is standard input")
	c, f, ok := configuredWith(flags, args, stderr)
	if !ok {
		return exitUsage
	}
	policy, err := c.Policy(time.Now)
	if err != nil {
		fmt.Fprintln(stderr, c.Locate(err))
		return exitUsage
	}
	if *as == "" && *may == "" && *keyFile == "" {
		fmt.Fprintf(stdout, "%s is right: %d collections, %d clients\n\n", c.Name, len(c.Collections), len(c.Clients))
		explain(stdout, policy)
		return exitOK
	}
	if *as == "" || *may == "" {
		fmt.Fprintln(stderr, "userinfo check-config: --as and --may go together")
		return exitUsage
	}
	q, err := readQuestion(*as, *may, *keyFile, f)
	if err == nil {
		err = q.complete(policy)
	}
	if err != nil {
		fmt.Fprintln(stderr, "userinfo check-config:", err)
		return exitUsage
	}
	return q.answer(policy, stdout)
}

// explain prints who may do what.
func explain(w io.Writer, p *access.Policy) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tAUDIENCE\tMAY\tWITH\tKEYS")
	for _, one := range p.Permissions() {
		var actions []string
		for _, a := range one.Actions {
			actions = append(actions, string(a))
		}
		with := strings.Join(one.Alternatives, ", or ")
		if with == "" {
			with = "never: the audience does not let it in"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Client, one.Audience, strings.Join(actions, " "), with, cmp.Or(strings.Join(one.Keys, " "), "-"))
	}
	_ = table.Flush() // as the writes to a terminal that has gone
}

// question is a request that might be made.
type question struct {
	evidence access.Credentials
	distrust error // why the certificate is not believed
	grant    access.Grant
	key      access.Key
}

func readQuestion(as, may, keyFile string, f *files) (q question, err error) {
	q.grant = access.Grant(may)
	given := make(map[string]bool)
	for _, each := range strings.Split(as, ",") {
		name, value, _ := strings.Cut(each, "=")
		switch {
		case value == "":
			return q, fmt.Errorf("--as: %q is not NAME=VALUE", name)
		case given[name]:
			return q, fmt.Errorf("--as: %s is there twice; a request has one", name)
		}
		given[name] = true
		switch name {
		case "certificate":
			err = q.readCertificate(value, f)
		case "token":
			err = q.readToken(value)
		case "signature":
			q.evidence.SignatureKey = value
		case "address":
			q.evidence.Remote, err = netip.ParseAddr(value)
		default:
			err = errors.New("there are certificate, token, signature and address")
		}
		if err != nil {
			return q, fmt.Errorf("--as %s: %w", name, err)
		}
	}
	if keyFile != "" {
		text, err := readKeyText(keyFile)
		if err != nil {
			return q, fmt.Errorf("--key-file: %w", err)
		}
		q.key = text
	}
	return q, nil
}

// healthGrant is what a question calls the audience on which there are no grants.
var healthGrant = access.GrantOn(access.Health, access.Get)

// complete refuses a question about a grant that there is not, or about no key where the grant is on one.
func (q *question) complete(p *access.Policy) error {
	if q.grant == healthGrant {
		return nil
	}
	keyed, err := p.NeedsKey(q.grant)
	switch {
	case err != nil:
		return fmt.Errorf("--may: %w, health:get", err)
	case keyed && q.key == "":
		return errors.New("--key-file is missing: the grant is on keys")
	}
	return nil
}

// readToken reads a file that holds a token and, perhaps, a line end. Errors do not name the file, which may be the token itself.
func (q *question) readToken(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot be read: %w; name a file that holds the token, never the token itself", keyfile.Unnamed(err))
	}
	token := strings.TrimRight(string(text), "\r\n")
	if token == "" || strings.ContainsAny(token, " \r\n") {
		return errors.New("the file must hold the token alone, in one line")
	}
	q.evidence.Authorization = append(q.evidence.Authorization, "Bearer "+token)
	return nil
}

// readCertificate reads a PEM chain, leaf first, and finds out of which CA it is, as for a request.
func (q *question) readCertificate(file string, f *files) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s holds no certificate: %w", file, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return fmt.Errorf("%s holds no certificate in PEM", file)
	}
	q.evidence.Certificate = chain[0]
	chains, err := f.server.Load().BuildChains(chain[0], chain[1:])
	if err == nil {
		q.evidence.ClientCAs, err = f.server.Load().VerifyChains(chains)
	}
	q.distrust = err
	return nil
}

// readKeyText reads a session key from a file or from standard input.
func readKeyText(file string) (access.Key, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return io.ReadAll(os.Stdin) }
	}
	text, err := read()
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", keyfile.Unnamed(err))
	}
	key := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if key == "" {
		return "", errors.New("holds no key")
	}
	return access.Key(key), nil
}

// answer asks those functions that serve, in their order.
func (q question) answer(p *access.Policy, w io.Writer) int {
	health := q.grant == healthGrant
	if health && p.IsOpen(access.Health) { // whatever the credentials
		fmt.Fprintln(w, "allowed, as anybody")
		return exitOK
	}
	refuse := func(client string, err error) int {
		fmt.Fprintf(w, "refused, as %s: %v\n", client, err)
		return exitFailed
	}
	if q.distrust != nil {
		return refuse("nobody", q.distrust)
	}
	if p.IsProxy(q.evidence.Certificate, q.evidence.ClientCAs) {
		q.evidence.Certificate, q.evidence.ClientCAs = nil, nil // it is not the client's
	}
	id, err := p.Authenticate(q.evidence)
	if err != nil {
		return refuse("nobody", err)
	}
	client := id.Client()
	if client == "" {
		client = "nobody"
	}
	if health {
		err = access.Admit(id, access.Health)
	} else {
		_, err = access.Authorize(id, q.grant, q.key)
	}
	if err != nil {
		return refuse(client, err)
	}
	if proofs := id.AuthenticatedBy(); len(proofs) > 0 {
		client += ", known by " + strings.Join(proofs, " and ")
	}
	fmt.Fprintf(w, "allowed, as %s\n", client)
	return exitOK
}
