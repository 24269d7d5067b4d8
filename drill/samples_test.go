package main

import "testing"

func TestParseTCPLine_ReturnsTheRemoteEnd(t *testing.T) {
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 30 10 -1"
	for name, test := range map[string]struct {
		line    string
		address string
		port    int
		inode   string
	}{
		"IPv4":            {"   1: 0100007F:0CEA 0B00D50A:2352 01" + rest, "10.213.0.11", 9042, "12345"},
		"IPv4 in IPv6":    {"   1: 0000000000000000FFFF00000100007F:0CEA 0000000000000000FFFF00000B00D50A:2352 01" + rest, "10.213.0.11", 9042, "12345"},
		"not established": {"   1: 0100007F:0CEA 0B00D50A:2352 02" + rest, "", 0, ""},
		"table header":    {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "", 0, ""},
		"empty line":      {"", "", 0, ""},
		"invalid port":    {"   1: 0100007F:0CEA 0B00D50A:ZZZZ 01" + rest, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			address, port, inode := parseTCPLine(test.line)
			if address != test.address || port != test.port || inode != test.inode {
				t.Errorf("%s:%d, inode %q", address, port, inode)
			}
		})
	}
}

func FuzzParseTCPLine(f *testing.F) {
	f.Add("   1: 0100007F:0CEA 0B00D50A:2352 01 00000000:00000000 00:00000000 00000000     0        0 12345 1")
	f.Add("  sl  local_address rem_address   st")
	f.Fuzz(func(t *testing.T, line string) {
		if address, port, inode := parseTCPLine(line); address == "" && (port != 0 || inode != "") {
			t.Errorf("%q: port %d, inode %q without an address", line, port, inode)
		}
	})
}
