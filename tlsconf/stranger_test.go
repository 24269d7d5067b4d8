package tlsconf_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// stranger describes a client's handshake. It has no certificate of a client CA, unless it is honest.
type stranger struct {
	Name   string
	Chain  [][]byte // DER
	Key    []byte   // PKCS #8 of Chain[0]
	Curves []tls.CurveID
	Max    uint16 // TLS version
	Raw    []byte // sent instead of a handshake: records
	Refuse string // the reason that the service counts; empty: crypto/tls refuses it, or nobody
	Served bool   // nobody refuses it
}

// play makes one handshake with the server at address.
func (s stranger) play(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if s.Raw != nil {
		if _, err := c.Write(s.Raw); err != nil {
			return err
		}
		kind := make([]byte, 1)
		if _, err := io.ReadFull(c, kind); err != nil || kind[0] != 22 {
			return fmt.Errorf("no ServerHello, but a record of kind %d: %v", kind[0], err)
		}
		return nil
	}
	config := &tls.Config{InsecureSkipVerify: true, CurvePreferences: s.Curves, MaxVersion: s.Max}
	if s.Chain != nil {
		pair, err := s.pair()
		if err != nil {
			return err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	t := tls.Client(c, config)
	if err := t.Handshake(); err != nil {
		return err
	}
	_, err = t.Read(make([]byte, 1)) // the server refuses a certificate after the client's handshake
	return err
}

// pair returns the stranger's certificates and key.
func (s stranger) pair() (*tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(s.Key)
	return &tls.Certificate{Certificate: s.Chain, PrivateKey: key}, err
}

// playEnv names the environment variable that makes the test's process a stranger.
const playEnv = "USERINFO_TEST_STRANGER"

// TestMain plays a stranger whose description comes from standard input, if playEnv is set to the server's address. A
// process of its own keeps the client's CPU time apart from the server's.
func TestMain(m *testing.M) {
	address := os.Getenv(playEnv)
	if address == "" {
		os.Exit(m.Run())
	}
	var p part
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		panic(err)
	}
	if p.Kept {
		if err := p.keep(address); err != nil {
			panic(err)
		}
		return
	}
	var all sync.WaitGroup
	for range p.Parallel {
		all.Go(func() {
			for range p.Times {
				_ = p.Stranger.play(address) // a stranger is refused
			}
		})
	}
	all.Wait()
}

// part is what a process of clients does.
type part struct {
	Stranger        stranger
	Parallel, Times int  // handshakes
	Kept            bool // instead: requests on a kept connection, and a new connection after every 20
}

// latencies are what a kept client measured.
type latencies struct {
	Requests, Handshakes []time.Duration
	Failed               int // handshakes
}

// keep prints the latencies of p.Times requests.
func (p part) keep(address string) error {
	pair, err := p.Stranger.pair()
	if err != nil {
		return err
	}
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*pair}}
	c, err := greet(address, config)
	if err != nil {
		return err
	}
	defer c.Close()
	var l latencies
	begin := time.Now()
	for i := 0; i < p.Times && time.Since(begin) < 5*time.Second; i++ {
		start := time.Now()
		if err := ping(c); err != nil {
			return err
		}
		l.Requests = append(l.Requests, time.Since(start))
		if i%20 == 0 {
			start = time.Now()
			if fresh, err := greet(address, config); err != nil {
				l.Failed++
			} else {
				l.Handshakes = append(l.Handshakes, time.Since(start))
				_ = fresh.Close()
			}
		}
		time.Sleep(2 * time.Millisecond) // between requests, as a user does
	}
	return json.NewEncoder(os.Stdout).Encode(l)
}

// greet makes a connection, from another address than strangers have, and waits for the server's first byte, but at most for 2 s, as the service does.
func greet(address string, config *tls.Config) (net.Conn, error) {
	d := &net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}} // not the strangers'
	c, err := tls.DialWithDialer(d, "tcp", address, config)
	if err != nil {
		return nil, err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return c, err
}

// ping sends a byte, which the server sends back.
func ping(c net.Conn) error {
	if _, err := c.Write([]byte("p")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// forge is a maker of certificates.
type forge struct {
	t  testing.TB
	ca *devca.CA // the client CA, whose certificate everybody knows
}

// issuer is a name with a key.
type issuer struct {
	cert *x509.Certificate
	key  any
}

func (f forge) p256() *ecdsa.PrivateKey { return f.ecdsa(elliptic.P256()) }

func (f forge) ecdsa(curve elliptic.Curve) *ecdsa.PrivateKey {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

// cert returns a certificate of the public key, signed by signer. change changes its template.
func (f forge) cert(name string, public any, signer issuer, change func(*x509.Certificate)) []byte {
	f.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, public, signer.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// imitation returns an issuer with the name of the client CA and another key.
func (f forge) imitation() issuer {
	return issuer{&x509.Certificate{RawSubject: f.ca.Certificate().RawSubject}, f.p256()}
}

func named509(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}}
}

// stranger returns a stranger with the certificate of a new P-256 key. change changes its template.
func (f forge) stranger(name, refuse string, change func(*x509.Certificate)) stranger {
	key := f.p256()
	return f.with(name, refuse, key, f.cert("wiki", &key.PublicKey, f.imitation(), change))
}

func (f forge) with(name, refuse string, key any, chain ...[]byte) stranger {
	f.t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return stranger{Name: name, Chain: chain, Key: pkcs8, Curves: []tls.CurveID{tls.X25519}, Refuse: refuse}
}

// longChain is the attack with 99 issuers, each signed by the next.
func (f forge) longChain(name string, n int, curve elliptic.Curve, refuse string) stranger {
	key := f.p256()
	above := f.ecdsa(curve)
	chain := [][]byte{f.cert("wiki", &key.PublicKey, issuer{named509("issuer 0"), above}, nil)}
	for i := range n {
		next := f.ecdsa(curve)
		chain = append(chain, f.cert(fmt.Sprint("issuer ", i), &above.PublicKey, issuer{named509(fmt.Sprint("issuer ", i+1)), next}, nil))
		above = next
	}
	return f.with(name, refuse, key, chain...)
}

// mesh is an attack with issuers of one name and key, which sign each other: crypto/x509 tries every order.
func (f forge) mesh(curve elliptic.Curve) stranger {
	key, above := f.p256(), f.ecdsa(curve)
	by := issuer{named509("mesh"), above}
	chain := [][]byte{f.cert("wiki", &key.PublicKey, by, nil)}
	for i := range 4 {
		chain = append(chain, f.cert("mesh", &above.PublicKey, by, func(c *x509.Certificate) { c.DNSNames = []string{fmt.Sprint(i, ".example")} }))
	}
	return f.with("4 issuers in every order, P-521", "unknown_ca", key, chain...)
}

// claims is an attack with certificates that all claim to be issued by the client CA, padded to the limit.
func (f forge) claims() stranger {
	key, by := f.p256(), f.imitation()
	pad := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, 2500)}}
	}
	chain := [][]byte{f.cert("wiki", &key.PublicKey, by, pad)}
	for i := range 4 {
		chain = append(chain, f.cert(fmt.Sprint("claim ", i), &key.PublicKey, by, pad))
	}
	return f.with("5 certificates that imitate the CA's", "unknown_ca", key, chain...)
}

// bigRSA is an attack with an issuer whose RSA key is as slow as possible.
func (f forge) bigRSA(bits int) stranger {
	key := f.p256()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	if err != nil {
		f.t.Fatal(err)
	}
	n.SetBit(n, 0, 1).SetBit(n, bits-1, 1)
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.t.Fatal(err)
	}
	leaf := f.cert("wiki", &key.PublicKey, issuer{named509("slow"), signer}, nil)
	var parts struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	if _, err := asn1.Unmarshal(leaf, &parts); err != nil {
		f.t.Fatal(err)
	}
	parts.Signature = asn1.BitString{Bytes: append([]byte{1}, make([]byte, bits/8-1)...), BitLength: bits}
	if leaf, err = asn1.Marshal(parts); err != nil {
		f.t.Fatal(err)
	}
	chain := [][]byte{leaf}
	for i := range 4 {
		chain = append(chain, f.cert("slow", &rsa.PublicKey{N: n, E: 1<<31 - 1}, f.imitation(), func(c *x509.Certificate) { c.DNSNames = []string{fmt.Sprint(i, ".example")} }))
	}
	return f.with(fmt.Sprintf("RSA keys of %d bits with the largest exponent", bits), "unknown_ca", key, chain...)
}

// tiny is an attack with as many certificates as fit.
func (f forge) tiny() stranger {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	var chain [][]byte
	for size := 0; size < parsedBytes; size += len(chain[0]) + 5 {
		chain = append(chain, f.cert("", public, issuer{named509(""), private}, func(c *x509.Certificate) { c.IsCA = false; c.BasicConstraintsValid = false }))
	}
	return f.with("as many certificates as fit", "chain_length", private, chain...)
}

// tinyP521 is the same with keys that are slow to parse.
func (f forge) tinyP521() stranger {
	key := f.ecdsa(elliptic.P521())
	var chain [][]byte
	for size := 0; size < parsedBytes-500; size += len(chain[0]) + 5 {
		chain = append(chain, f.cert("", &key.PublicKey, f.imitation(), nil))
	}
	return f.with("as many certificates with P-521 keys as fit", "chain_length", key, chain...)
}

// parsedBytes is the size of certificates that just fit into a handshake.
const parsedBytes = 15_500

// repeat returns as many values as fit if each takes size bytes.
func repeat[T any](size int, make func(i int) T) (all []T) {
	for i := range parsedBytes / size {
		all = append(all, make(i))
	}
	return all
}

// strangers returns the attacks on a server with the client CA.
func (f forge) strangers() []stranger {
	extension := func(id asn1.ObjectIdentifier, value any) func(*x509.Certificate) {
		der, err := asn1.Marshal(value)
		if err != nil {
			f.t.Fatal(err)
		}
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Value: der})
		}
	}
	all := []stranger{
		f.longChain("99 issuers, P-384", 99, elliptic.P384(), "bytes"),
		f.longChain("30 issuers, P-384", 30, elliptic.P384(), "chain_length"),
		f.longChain("4 issuers, P-521", 4, elliptic.P521(), "unknown_ca"),
		f.mesh(elliptic.P521()),
		f.claims(),
		f.bigRSA(8192),
		f.tiny(),
		f.tinyP521(),
		f.stranger("many DNS names", "unknown_ca", func(c *x509.Certificate) { c.DNSNames = repeat(4, func(int) string { return "a." }) }),
		f.stranger("many URIs", "unknown_ca", func(c *x509.Certificate) {
			c.URIs = repeat(6, func(int) *url.URL { return &url.URL{Scheme: "a", Opaque: "b"} })
		}),
		f.stranger("many mail addresses", "unknown_ca", func(c *x509.Certificate) { c.EmailAddresses = repeat(6, func(int) string { return "a@b" }) }),
		f.stranger("many addresses", "unknown_ca", func(c *x509.Certificate) { c.IPAddresses = repeat(6, func(int) net.IP { return net.IPv4(1, 2, 3, 4) }) }),
		f.stranger("many names in the subject", "unknown_ca", func(c *x509.Certificate) {
			c.Subject.ExtraNames = repeat(13, func(int) pkix.AttributeTypeAndValue {
				return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a"}
			})
		}),
		f.stranger("many name constraints", "unknown_ca", func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical = true
			c.PermittedDNSDomains = repeat(9, func(int) string { return "a.b" })
		}),
		f.stranger("many policies", "unknown_ca", extension(asn1.ObjectIdentifier{2, 5, 29, 32}, repeat(8, func(i int) []asn1.ObjectIdentifier {
			return []asn1.ObjectIdentifier{{1, 2, i}}
		}))),
		f.stranger("many key usages", "unknown_ca", extension(asn1.ObjectIdentifier{2, 5, 29, 37}, repeat(5, func(i int) asn1.ObjectIdentifier {
			return asn1.ObjectIdentifier{1, 2, i}
		}))),
		f.stranger("many extensions", "unknown_ca", func(c *x509.Certificate) {
			c.ExtraExtensions = repeat(10, func(i int) pkix.Extension { return pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, i}} })
		}),
		{Name: "key exchange with P-521", Curves: []tls.CurveID{tls.CurveP521}},
		{Name: "key exchange with ML-KEM-1024 and P-384", Curves: []tls.CurveID{tls.SecP384r1MLKEM1024}},
		{Name: "key exchange with ML-KEM-768 and X25519", Curves: []tls.CurveID{tls.X25519MLKEM768}, Served: true},
		{Name: "key exchange with P-256", Curves: []tls.CurveID{tls.CurveP256}, Served: true},
		{Name: "HelloRetryRequest", Curves: []tls.CurveID{tls.CurveP384, tls.X25519}, Served: true},
		{Name: "5 false session tickets of 3 kB", Raw: records(clientHello(falseTickets(5, 3000)))},
		{Name: "ClientHello with 7,900 key exchange groups", Raw: records(clientHello(manyGroups(7_900)))},
	}
	old := f.longChain("99 issuers, P-384, TLS 1.2", 99, elliptic.P384(), "bytes")
	old.Max = tls.VersionTLS12
	return append(all, old, f.stolen())
}

// stolen has a client's certificate, which is no secret, but not its key.
func (f forge) stolen() stranger {
	f.t.Helper()
	text, _, err := f.ca.Issue(devca.Leaf{CommonName: "wiki", Client: true})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.with("a client's certificate without its key", "", f.p256(), pemDER(text))
}

// honest has a certificate of the client CA.
func (f forge) honest() stranger {
	f.t.Helper()
	key := f.p256()
	text, _, err := f.ca.Issue(devca.Leaf{CommonName: "wiki", Client: true, Key: key})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.with("honest", "", key, pemDER(text))
}

// clientHello returns a ClientHello of TLS 1.3 with more extensions.
func clientHello(more []byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)                      // session id
	body = append(body, 0, 2, 0x13, 0x01, 1, 0) // cipher suites, compression
	extensions := slot(43, []byte{2, 3, 4})     // supported_versions
	extensions = append(extensions, slot(13, []byte{0, 4, 4, 3, 8, 4})...)
	extensions = append(extensions, slot(45, []byte{1, 1})...) // psk_key_exchange_modes
	share := append([]byte{0, 36, 0, 29, 0, 32}, make([]byte, 31)...)
	extensions = append(extensions, slot(51, append(share, 9))...)
	extensions = append(extensions, more...)
	body = append(body, sized(extensions)...)
	return append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

// sized returns data after its length in two bytes.
func sized(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

// slot returns an extension.
func slot(kind uint16, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), sized(data)...)
}

// falseTickets returns the extensions supported_groups and pre_shared_key.
func falseTickets(n, size int) []byte {
	var identities, binders []byte
	for range n {
		identities = append(identities, sized(make([]byte, size))...)
		identities = append(identities, 0, 0, 0, 0)
		binders = append(binders, 32)
		binders = append(binders, make([]byte, 32)...)
	}
	return append(slot(10, []byte{0, 2, 0, 29}), slot(41, append(sized(identities), sized(binders)...))...)
}

// manyGroups returns the extension supported_groups.
func manyGroups(n int) []byte {
	var groups []byte
	for i := range n {
		groups = binary.BigEndian.AppendUint16(groups, uint16(1000+i))
	}
	return slot(10, sized(append(groups, 0, 29)))
}

// records splits a message into TLS records.
func records(message []byte) (all []byte) {
	for len(message) > 0 {
		n := min(len(message), 16<<10)
		all = append(append(all, 22, 3, 1), sized(message[:n])...)
		message = message[n:]
	}
	return all
}
