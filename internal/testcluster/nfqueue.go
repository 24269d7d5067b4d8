package testcluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's netfilter queue (linux/netfilter/nfnetlink_queue.h) sends the packets of an NFQUEUE rule to a netlink
// socket, each in one message, and keeps them until it receives a verdict. Numbers in brackets are bytes. Every message,
// in both directions, is:
//
//	length(4) type(2: subsystem 3, then one of msg…) flags(2) sequence(4) port(4)   in the machine's byte order
//	family(1) version(1) queue(2)                                                   in network byte order
//	attributes, each: length(2) type(2) in the machine's byte order,
//	                  then a value in network byte order, padded to a multiple of 4
const (
	msgPacket  = 0
	msgVerdict = 1
	msgConfig  = 2

	attrPacketHeader  = 1  // id(4) protocol(2) hook(1)
	attrVerdictHeader = 2  // verdict(4) id(4)
	attrPayload       = 10 // the first bytes of the packet, as many as attrParams requested
	attrCommand       = 1  // in a config message: command(1) 0(1) family(2)
	attrParams        = 2  // in a config message: bytes of each packet to copy(4) mode(1)
	attrMaxLength     = 3  // in a config message: maximum number of queued packets(4)

	commandBind = 1
	copyPacket  = 2
	verdictDrop = 0
	verdictPass = 1

	netlinkHeader = 16
	queueHeader   = netlinkHeader + 4
	ipv4Header    = 20
	// queueLength is the maximum number of packets under way to one node: more than 20 MB at full packet size.
	queueLength = 16384
)

// queue delays a shaper's packets to one node. It is at the receiver, because a sender's TCP would wait while its packets
// are still on its own machine. It owns a socket and two goroutines; close ends them.
type queue struct {
	shaper *shaper
	socket *os.File
	queued chan queuedPacket // in the order of arrival; never full, because the kernel keeps at most queueLength packets
	closed chan struct{}
	wait   sync.WaitGroup
}

// queuedPacket is a packet that the kernel keeps until release sends a verdict.
type queuedPacket struct {
	id      uint32
	arrival time.Time
}

// openQueue opens the queue with s's number in the network namespace of process pid.
func openQueue(pid int, s *shaper) (*queue, error) {
	var fd int
	err := inNamespace(pid, "net", func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, err
	}
	q := &queue{
		shaper: s,
		socket: os.NewFile(uintptr(fd), "netfilter queue"),
		queued: make(chan queuedPacket, queueLength),
		closed: make(chan struct{}),
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		// When the socket's buffer is full, the packet is lost, and Read returns no error.
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1),
		q.bind(),
	); err != nil {
		return nil, errors.Join(err, q.socket.Close())
	}
	q.wait.Go(q.receive)
	q.wait.Go(q.release)
	return q, nil
}

// bind requests the queue's packets. Of each packet it requests the IP header only, which contains the length.
func (q *queue) bind() error {
	config := message(msgConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK, q.shaper.number,
		attribute{attrCommand, []byte{commandBind, 0, 0, unix.AF_INET}},
		attribute{attrParams, append(binary.BigEndian.AppendUint32(nil, ipv4Header), copyPacket)},
		attribute{attrMaxLength, binary.BigEndian.AppendUint32(nil, queueLength)},
	)
	if _, err := q.socket.Write(config); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, err := q.socket.Read(answer)
	if err != nil {
		return err
	}
	if n < netlinkHeader+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("unexpected answer of the kernel to a bind of a netfilter queue: %x", answer[:n])
	}
	if code := int32(binary.NativeEndian.Uint32(answer[netlinkHeader:])); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// receive reads packets and computes when they arrive. It returns when the socket is closed.
func (q *queue) receive() {
	defer close(q.queued)
	buffer := make([]byte, 64<<10)
	for {
		n, err := q.socket.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		id, bytes, ok := parsePacket(buffer[:n])
		if !ok {
			continue
		}
		arrival, ok := q.shaper.arrival(time.Now(), bytes)
		if !ok {
			q.sendVerdict(id, verdictDrop)
			continue
		}
		q.queued <- queuedPacket{id, arrival}
	}
}

// release lets each packet pass when it arrives.
func (q *queue) release() {
	for p := range q.queued {
		select {
		case <-time.After(time.Until(p.arrival)):
			q.sendVerdict(p.id, verdictPass)
		case <-q.closed:
			return
		}
	}
}

// sendVerdict tells the kernel what to do with a packet. It ignores errors: if the node or the queue no longer exists, the
// packet does not exist either.
func (q *queue) sendVerdict(id uint32, verdict uint32) {
	value := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, verdict), id)
	_, _ = q.socket.Write(message(msgVerdict, unix.NLM_F_REQUEST, q.shaper.number, attribute{attrVerdictHeader, value}))
}

// close ends the queue. The kernel drops the queued packets.
func (q *queue) close() error {
	close(q.closed)
	err := q.socket.Close()
	q.wait.Wait()
	return err
}

type attribute struct {
	kind  uint16
	value []byte
}

// message encodes a message to the kernel.
func message(kind, flags, queueNumber uint16, attributes ...attribute) []byte {
	m := make([]byte, queueHeader)
	binary.NativeEndian.PutUint16(m[4:], unix.NFNL_SUBSYS_QUEUE<<8|kind)
	binary.NativeEndian.PutUint16(m[6:], flags)
	binary.BigEndian.PutUint16(m[18:], queueNumber)
	for _, a := range attributes {
		m = binary.NativeEndian.AppendUint16(m, uint16(4+len(a.value)))
		m = binary.NativeEndian.AppendUint16(m, a.kind)
		m = append(m, a.value...)
		m = append(m, make([]byte, -len(m)&3)...)
	}
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	return m
}

// parsePacket decodes a message of the kernel. It returns the packet's id and its length in bytes, including the IP
// header. ok is false if the message is not about a packet.
func parsePacket(m []byte) (id uint32, bytes int, ok bool) {
	if len(m) < queueHeader || binary.NativeEndian.Uint16(m[4:]) != unix.NFNL_SUBSYS_QUEUE<<8|msgPacket {
		return 0, 0, false
	}
	var haveID, haveLength bool
	for rest := m[queueHeader:]; len(rest) >= 4; {
		length, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if length < 4 || length > len(rest) {
			return 0, 0, false
		}
		switch value := rest[4:length]; {
		case kind == attrPacketHeader && len(value) >= 4:
			id, haveID = binary.BigEndian.Uint32(value), true
		case kind == attrPayload && len(value) >= 4:
			bytes, haveLength = int(binary.BigEndian.Uint16(value[2:])), true // RFC 791, section 3.1: total length
		}
		rest = rest[min(len(rest), (length+3)&^3):]
	}
	return id, bytes, haveID && haveLength
}
