package api

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzDecodeFields compares decodeFields with encoding/json.
func FuzzDecodeFields(f *testing.F) {
	for _, seed := range []string{
		`{"password":"hunter2"}`, `{"password":"\ud83d\ude00","address":"192.0.2.1"}`, `{"password":"\ud800"}`, `{"password":"\ufffd"}`, `{"password":"\\ud800"}`, `{"password":"\ud800\\udc00"}`, "{\"password\":\"\xff\"}",
		`{"password":"a","password":"b"}`, `{"password":1}`, `{}`, ``, `[]`, `{"password":"a"}{}`, `{"Password":"a"}`, "{\"pass\x00word\":\"a\"}",
	} {
		f.Add([]byte(seed))
	}
	allowed := []string{"password", "address"}
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := decodeFields(data, allowed)
		if err != nil {
			if fields != nil || problemFor(err).Status != 400 {
				t.Fatalf("error %v with %d fields", err, len(fields))
			}
			return
		}
		var want map[string]string
		if err := json.Unmarshal(data, &want); err != nil || len(want) != len(fields) {
			t.Fatalf("%q is accepted, and is not JSON: %v", data, err)
		}
		for name, value := range fields {
			if want[name] != string(value) || name != "password" && name != "address" {
				t.Fatalf("%q: the field %q is %q, want %q", data, name, string(value), want[name])
			}
		}
		again, err := json.Marshal(want)
		if decoded, second := decodeFields(again, allowed); errors.Join(err, second) != nil || len(decoded) != len(fields) {
			t.Fatalf("%q is refused after it was encoded again: %v", again, second)
		}
	})
}
