package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"userinfo/drill/history"
	"userinfo/drill/load"
)

// opener opens sealed rows on its own account, by the format that store/seal.go draws: the program under test is not
// asked what its replicas hold.
type opener struct{ index, seal []byte }

const sealedCollection = "sessions"

func newOpener(indexFile, sealFile string) (*opener, error) {
	var o opener
	for _, k := range []struct {
		file string
		into *[]byte
	}{{indexFile, &o.index}, {sealFile, &o.seal}} {
		text, err := os.ReadFile(k.file)
		if err != nil {
			return nil, err
		}
		_, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
		if *k.into, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, fmt.Errorf("key file %s: %w", k.file, err)
		}
	}
	return &o, nil
}

// row is the row's key of a session key.
func (o *opener) row(key string) string {
	h := hmac.New(sha256.New, o.index)
	h.Write([]byte(sealedCollection + "\x00" + key))
	return string(h.Sum(nil))
}

// open reads the version of a sealed value of key.
func (o *opener) open(key string, sealed []byte) int64 {
	const idEnd, nonceEnd = 5, 17
	if len(sealed) < nonceEnd {
		return history.Torn
	}
	prk, err := hkdf.Extract(sha256.New, o.seal, nil)
	if err != nil {
		return history.Torn
	}
	aesKey, err := hkdf.Expand(sha256.New, prk, string(sealed[:1])+sealedCollection+"\x00"+key, 32)
	if err != nil {
		return history.Torn
	}
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		return history.Torn
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return history.Torn
	}
	associated := string(sealed[:idEnd]) + sealedCollection + "\x00" + o.row(key)
	text, err := aead.Open(nil, sealed[idEnd:nonceEnd], sealed[nonceEnd:], []byte(associated))
	if err != nil {
		return history.Torn
	}
	version, of := load.ParseValue(string(text))
	if of != key {
		return history.Torn
	}
	return version
}

// cells reads each replica alone: what it has of each key.
func (f *field) cells(ctx context.Context, keys []string) ([]history.Cell, error) {
	o, err := newOpener(f.fleet.KeyFile("index"), f.fleet.KeyFile("seal"))
	if err != nil {
		return nil, err
	}
	key := make(map[string]string, len(keys))
	for _, k := range keys {
		key[o.row(k)] = k
	}
	var cells []history.Cell
	for _, n := range f.cluster.Nodes("") {
		rows, err := f.cluster.CQLAt(ctx, n, "NODE_LOCAL", "SELECT key, value FROM userinfo.sessions")
		if err != nil {
			return nil, fmt.Errorf("reading what replica %s holds: %w", n.Name, err)
		}
		held := make(map[string]int64)
		for line := range strings.Lines(rows) {
			left, right, _ := strings.Cut(strings.TrimSpace(line), "\t")
			row, err := hex.DecodeString(strings.TrimPrefix(left, "key=0x"))
			mine, ours := key[string(row)]
			if err != nil || !ours || right == "value=null" {
				continue
			}
			sealed, err := hex.DecodeString(strings.TrimPrefix(right, "value=0x"))
			if err != nil {
				return nil, fmt.Errorf("replica %s says %q: %w", n.Name, right[:min(len(right), 40)], err)
			}
			held[mine] = o.open(mine, sealed)
		}
		for _, k := range keys {
			cells = append(cells, history.Cell{Node: n.Name, DC: n.Datacentre, Key: k, Version: held[k]})
		}
	}
	return cells, nil
}
