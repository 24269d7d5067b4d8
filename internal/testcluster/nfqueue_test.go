package testcluster

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// packetMessage returns a message of the kernel about a packet: a packet header, a time stamp, which the parser ignores,
// and the first 20 bytes of an IPv4 packet.
func packetMessage(id uint32, length uint16) []byte {
	ip := make([]byte, ipv4Header)
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], length)
	return message(msgPacket, 0, 3,
		attribute{attrPacketHeader, append(binary.BigEndian.AppendUint32(nil, id), 0x08, 0x00, 3)},
		attribute{4, make([]byte, 16)},
		attribute{attrPayload, ip},
	)
}

func TestParsePacket_ReturnsIDAndLength(t *testing.T) {
	id, bytes, ok := parsePacket(packetMessage(0x01020304, 1500))
	if id != 0x01020304 || bytes != 1500 || !ok {
		t.Errorf("got id %#x, %d bytes, %v", id, bytes, ok)
	}
}

func TestParsePacket_RejectsIncompleteAndOtherMessages(t *testing.T) {
	whole := packetMessage(1, 40)
	for length := range whole[:len(whole)-3] {
		if _, _, ok := parsePacket(whole[:length]); ok {
			t.Errorf("the first %d of %d bytes are accepted as a packet", length, len(whole))
		}
	}
	if _, _, ok := parsePacket(message(msgConfig, 0, 3)); ok {
		t.Error("a config message is accepted as a packet")
	}
}

func TestMessage_EncodesVerdict(t *testing.T) {
	got := message(msgVerdict, unix.NLM_F_REQUEST, 0x0102, attribute{attrVerdictHeader, []byte{0, 0, 0, 1, 0, 0, 0, 9}})
	want := binary.NativeEndian.AppendUint32(nil, 32)
	want = binary.NativeEndian.AppendUint16(want, 0x0301)
	want = binary.NativeEndian.AppendUint16(want, 1)
	want = append(want, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2)
	want = binary.NativeEndian.AppendUint16(want, 12)
	want = binary.NativeEndian.AppendUint16(want, 2)
	want = append(want, 0, 0, 0, 1, 0, 0, 0, 9)
	if string(got) != string(want) {
		t.Errorf("got\n%x\nwant\n%x", got, want)
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(packetMessage(1, 60))
	f.Add(packetMessage(2, 1500)[:40])
	f.Add(message(msgConfig, 0, 3, attribute{attrPayload, nil}))
	f.Fuzz(func(t *testing.T, m []byte) {
		if _, bytes, ok := parsePacket(m); ok && (bytes < 0 || bytes > 0xffff) {
			t.Errorf("a packet of %d bytes", bytes)
		}
	})
}
