package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"userinfo/drill/history"
)

func TestSealReader_DecryptsTheTestVectors(t *testing.T) {
	text, err := os.ReadFile("../store/seal/testdata/sealed.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []map[string]string
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("there are no test vectors")
	}
	for _, v := range vectors {
		bytesOf := func(name string) []byte {
			b, err := hex.DecodeString(v[name])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		r := &sealReader{collection: v["collection"], indexKey: bytesOf("index_key"), sealKey: bytesOf("seal_key")}
		key := string(bytesOf("session_key"))
		if got := r.rowKey(key); got != string(bytesOf("row_key")) {
			t.Errorf("row key %x", got)
		}
		sealed := bytesOf("sealed")
		if got, err := r.decrypt(key, sealed); err != nil || !bytes.Equal(got, bytesOf("value")) {
			t.Errorf("decrypted %x, %v", got, err)
		}
		sealed[len(sealed)-1] ^= 1
		if r.version(key, sealed) != history.Torn {
			t.Error("a changed value is not reported as torn")
		}
		if r.version(key, sealed[:4]) != history.Torn {
			t.Error("a truncated value is not reported as torn")
		}
	}
}
