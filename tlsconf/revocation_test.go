package tlsconf_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func TestRevocationList_StaysInUseAfterNextUpdate(t *testing.T) {
	w := newTwoCAs(t)
	w.write("a.crl", w.crl(w.a, w.ofA))
	w.server.mustReload(t)
	w.clock.advance(2 * time.Hour)
	w.want("after nextUpdate", w.chainA, "", tlsconf.ErrRevoked)
	i := slices.IndexFunc(w.server.current.Load().Expiries(), func(e tlsconf.Expiry) bool { return e.File == "crls[0]" })
	if i < 0 || w.server.current.Load().Expiries()[i].NotAfter.After(w.clock.now()) {
		t.Errorf("Expiries does not show that the list is out of date: %v", w.server.current.Load().Expiries())
	}
	w.write("a.crt", w.a.PEM(), newCA(t, "another").PEM()) // forces a reload of all files
	if _, err := w.server.reload(); err == nil {
		t.Error("an outdated list was loaded")
	} else {
		wantFieldError(t, err, "crls[0]", "is out of date since")
	}
	w.want("after a failed reload", w.chainA, "", tlsconf.ErrRevoked)
}

func TestDenyList_AcceptsOutputOfOpenSSL(t *testing.T) {
	w := newTwoCAs(t)
	sum := sha256.Sum256(w.ofA.cert.Raw)
	for _, text := range []string{
		strings.ToLower(w.ofA.serialLine()), "\t" + w.ofA.serialLine(), "serial=000" + strings.TrimPrefix(w.ofA.serialLine(), "serial="),
		strings.TrimSpace(w.ofA.serialLine()) + " # alice's, of a\n", "SHA256 Fingerprint=" + hex.EncodeToString(sum[:]) + "\r\n",
	} {
		w.write("denied", []byte(text))
		w.start()
		w.want(text, w.chainA, "", tlsconf.ErrRevoked)
	}
}

func FuzzParseRevocations(f *testing.F) {
	ca, err := devca.New("fuzz")
	if err != nil {
		f.Fatal(err)
	}
	list, err := ca.CRL(time.Now().Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(list)
	for _, seed := range [][]byte{nil, list, block.Bytes, []byte("serial=12\n"), []byte("sha256 Fingerprint=00\n# x\n"), bytes.Repeat([]byte("serial=1\n"), 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = tlsconf.ParseDenied(text); _, _ = tlsconf.ParseCRLs(text) })
}

func TestRevocationList_AcceptsDER(t *testing.T) {
	w := newTwoCAs(t)
	block, _ := pem.Decode(w.crl(w.a, w.ofA))
	w.write("a.crl", block.Bytes)
	w.server.mustReload(t)
	w.want("list in DER", w.chainA, "", tlsconf.ErrRevoked)
}
