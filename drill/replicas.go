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

// sealReader decrypts sealed rows (see store/seal). It is an implementation of its own, so that a mistake of the service
// does not hide itself.
type sealReader struct {
	collection        string
	indexKey, sealKey []byte
}

func newSealReader(collection, indexFile, sealFile string) (*sealReader, error) {
	indexKey, err := readKey(indexFile)
	if err != nil {
		return nil, err
	}
	sealKey, err := readKey(sealFile)
	return &sealReader{collection, indexKey, sealKey}, err
}

func readKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("key file %s is not Base64", file)
	}
	return key, nil
}

// rowKey returns the row key of a session key.
func (r *sealReader) rowKey(key string) string {
	h := hmac.New(sha256.New, r.indexKey)
	h.Write([]byte(r.collection + "\x00" + key))
	return string(h.Sum(nil))
}

// decrypt returns the value of a sealed row.
func (r *sealReader) decrypt(key string, sealed []byte) ([]byte, error) {
	const idEnd, nonceEnd = 5, 17
	if len(sealed) < nonceEnd {
		return nil, errors.New("sealed value is too short")
	}
	aesKey, err := hkdf.Key(sha256.New, r.sealKey, nil, string(sealed[:1])+r.collection+"\x00"+key, 32)
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
	associated := string(sealed[:idEnd]) + r.collection + "\x00" + r.rowKey(key)
	return aead.Open(nil, sealed[idEnd:nonceEnd], sealed[nonceEnd:], []byte(associated))
}

// version returns the version of a sealed value, or history.Torn if it is not a value of key.
func (r *sealReader) version(key string, sealed []byte) int64 {
	text, err := r.decrypt(key, sealed)
	if err != nil {
		return history.Torn
	}
	version, ofKey := load.ParseValue(string(text))
	if ofKey != key {
		return history.Torn
	}
	return version
}

// readReplicas reads each Cassandra node alone and returns what it holds for each key.
func (e *environment) readReplicas(ctx context.Context, keys []string) ([]history.Cell, error) {
	reader, err := newSealReader("sessions", e.fleet.KeyFile("index"), e.fleet.KeyFile("seal"))
	if err != nil {
		return nil, err
	}
	byRowKey := make(map[string]string, len(keys))
	for _, k := range keys {
		byRowKey[reader.rowKey(k)] = k
	}
	var cells []history.Cell
	for _, n := range e.cluster.Nodes("") {
		rows, err := e.cluster.CQLAt(ctx, n, "NODE_LOCAL", "SELECT key, value FROM userinfo.sessions")
		if err != nil {
			return nil, fmt.Errorf("reading replica %s: %w", n.Name, err)
		}
		versions := make(map[string]int64)
		for line := range strings.Lines(rows) {
			rowText, valueText, _ := strings.Cut(strings.TrimSpace(line), "\t")
			rowKey, err := hex.DecodeString(strings.TrimPrefix(rowText, "key=0x"))
			key, known := byRowKey[string(rowKey)]
			if err != nil || !known || valueText == "value=null" {
				continue
			}
			sealed, err := hex.DecodeString(strings.TrimPrefix(valueText, "value=0x"))
			if err != nil {
				return nil, fmt.Errorf("replica %s returned an unreadable value: %w", n.Name, err)
			}
			versions[key] = reader.version(key, sealed)
		}
		for _, k := range keys {
			cells = append(cells, history.Cell{Node: n.Name, DC: n.Datacentre, Key: k, Version: versions[k]})
		}
	}
	return cells, nil
}
