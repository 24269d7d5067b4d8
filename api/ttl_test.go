package api

import (
	"math/big"
	"net/http"
	"testing"
	"time"
)

func TestParseTTL_Values(t *testing.T) {
	const largest = 100 * time.Second
	for _, test := range []struct {
		name    string
		values  []string
		want    time.Duration
		present bool
		refused bool
	}{
		{name: "none", values: nil},
		{name: "the smallest", values: []string{"1"}, want: time.Second, present: true},
		{name: "the largest", values: []string{"100"}, want: largest, present: true},
		{name: "leading zeros", values: []string{"007"}, want: 7 * time.Second, present: true},
		{name: "zero", values: []string{"0"}, present: true, refused: true},
		{name: "zeros", values: []string{"0000000000"}, present: true, refused: true},
		{name: "one more than the largest", values: []string{"101"}, present: true, refused: true},
		{name: "negative", values: []string{"-1"}, present: true, refused: true},
		{name: "signed", values: []string{"+1"}, present: true, refused: true},
		{name: "a fraction", values: []string{"1.5"}, present: true, refused: true},
		{name: "an exponent", values: []string{"1e3"}, present: true, refused: true},
		{name: "an underscore", values: []string{"1_0"}, present: true, refused: true},
		{name: "hexadecimal", values: []string{"0x1"}, present: true, refused: true},
		{name: "empty", values: []string{""}, present: true, refused: true},
		{name: "a leading space", values: []string{" 5"}, present: true, refused: true},
		{name: "a trailing space", values: []string{"5 "}, present: true, refused: true},
		{name: "a NUL", values: []string{"5\x00"}, present: true, refused: true},
		{name: "other digits", values: []string{"٥"}, present: true, refused: true},
		{name: "more than 64 bits", values: []string{"18446744073709551617"}, present: true, refused: true},
		{name: "nanoseconds that overflow", values: []string{"9999999999"}, present: true, refused: true},
		{name: "two, equal", values: []string{"5", "5"}, present: true, refused: true},
		{name: "two in one", values: []string{"5, 6"}, present: true, refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, present, err := parseTTL(http.Header{"Ttl": test.values}, largest)
			if got != test.want || present != test.present || (err != nil) != test.refused {
				t.Fatalf("%v, %v, %v; want %v, %v, refused %v", got, present, err, test.want, test.present, test.refused)
			}
			if err != nil && problemFor(err).Status != 400 {
				t.Errorf("status %d; want 400", problemFor(err).Status)
			}
		})
	}
}

func FuzzParseTTL(f *testing.F) {
	for _, s := range []string{"", "0", "1", "60", "007", "0000000001", "00000000001", "-1", "+1", "1.5", " 5", "1e3", "9999999999", "18446744073709551617", "٥", "5\x00"} {
		f.Add(s, uint32(86400))
	}
	f.Fuzz(func(t *testing.T, text string, seconds uint32) {
		got, present, err := parseTTL(http.Header{"Ttl": {text}}, time.Duration(seconds)*time.Second)
		if !present {
			t.Fatal("present is false")
		}
		n, digits := new(big.Int), text != "" && len(text) <= maxTTLDigits
		for _, c := range text {
			digits = digits && '0' <= c && c <= '9'
		}
		if digits {
			n.SetString(text, 10)
		}
		if fine := digits && n.Sign() > 0 && n.Cmp(big.NewInt(int64(seconds))) <= 0; fine != (err == nil) {
			t.Fatalf("%q with at most %d s: %v", text, seconds, err)
		} else if fine && got != time.Duration(n.Int64())*time.Second {
			t.Fatalf("%q is %v", text, got)
		}
	})
}
