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
	"errors"
	"fmt"
	"os"
	"strings"

	"userinfo/drill/history"
	"userinfo/drill/load"
)

// opener opens sealed rows on its own account, by the format that store/seal.go draws: the program under test is not
// asked what its replicas hold.
type opener struct {
	collection  string
	index, seal []byte
}

func newOpener(collection, indexFile, sealFile string) (*opener, error) {
	o := opener{collection: collection}
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
	h.Write([]byte(o.collection + "\x00" + key))
	return string(h.Sum(nil))
}

// open gives the value of key that is sealed.
func (o *opener) open(key string, sealed []byte) ([]byte, error) {
	const idEnd, nonceEnd = 5, 17
	if len(sealed) < nonceEnd {
		return nil, errors.New("too short")
	}
	prk, err := hkdf.Extract(sha256.New, o.seal, nil)
	if err != nil {
		return nil, err
	}
	aesKey, err := hkdf.Expand(sha256.New, prk, string(sealed[:1])+o.collection+"\x00"+key, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	associated := string(sealed[:idEnd]) + o.collection + "\x00" + o.row(key)
	return aead.Open(nil, sealed[idEnd:nonceEnd], sealed[nonceEnd:], []byte(associated))
}

// version is that of a sealed value of key; Torn where it is not one.
func (o *opener) version(key string, sealed []byte) int64 {
	text, err := o.open(key, sealed)
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
	o, err := newOpener("sessions", f.fleet.KeyFile("index"), f.fleet.KeyFile("seal"))
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
			held[mine] = o.version(mine, sealed)
		}
		for _, k := range keys {
			cells = append(cells, history.Cell{Node: n.Name, DC: n.Datacentre, Key: k, Version: held[k]})
		}
	}
	return cells, nil
}
