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

// The kernel's netfilter queue (linux/netfilter/nfnetlink_queue.h) hands the packets of an NFQUEUE rule to a netlink
// socket, one message each, and holds them until it is told a verdict. Every message, both ways:
//
//	length(4) type(2: subsystem 3, then one of msg…) flags(2) sequence(4) port(4)   the machine's byte order
//	family(1) version(1) queue(2)                                                   the network's, as is all that follows
//	then attributes: length(2) type(2) (the machine's order) value, padded to 4
const (
	msgPacket  = 0
	msgVerdict = 1
	msgConfig  = 2

	attrPacketHeader  = 1  // id(4) protocol(2) hook(1)
	attrVerdictHeader = 2  // verdict(4) id(4)
	attrPayload       = 10 // the packet, cut off after as much as was asked for
	attrCommand       = 1  // of a config: command(1) 0(1) family(2)
	attrParams        = 2  // of a config: how much of each packet(4) mode(1)
	attrMaxLength     = 3  // of a config: packets(4)

	commandBind = 1
	copyPacket  = 2
	verdictDrop = 0
	verdictPass = 1

	netlinkHeader = 16
	queueHeader   = netlinkHeader + 4
	ipv4Header    = 20
	// queueLength bounds the packets that may be on their way to one node: over 20 MB at full size.
	queueLength = 16384
)

// queue is where a line's packets to one node wait: at the receiver, for a sender's TCP holds back while its packets are
// still in its own machine. It owns its socket and two goroutines, all gone after close.
type queue struct {
	line   *line
	socket *os.File
	onWay  chan held // what is to be let go, in order; never full, for the kernel holds at most queueLength
	closed chan struct{}
	wait   sync.WaitGroup
}

// held is a packet that the kernel holds.
type held struct {
	id  uint32
	due time.Time
}

func openQueue(pid int, l *line) (*queue, error) {
	var fd int
	err := within(pid, "net", func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, err
	}
	q := &queue{
		line:   l,
		socket: os.NewFile(uintptr(fd), "netfilter queue"),
		onWay:  make(chan held, queueLength),
		closed: make(chan struct{}),
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		// A full buffer loses the packet, as a line does, and is no error to the reader.
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1),
		q.bind(),
	); err != nil {
		return nil, errors.Join(err, q.socket.Close())
	}
	q.wait.Go(q.take)
	q.wait.Go(q.release)
	return q, nil
}

// bind asks for the queue's packets, of each no more than tells its length.
func (q *queue) bind() error {
	config := message(msgConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK, q.line.number,
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
		return fmt.Errorf("the kernel answered %x", answer[:n])
	}
	if code := int32(binary.NativeEndian.Uint32(answer[netlinkHeader:])); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

// take reads the packets and finds out when they are due. It ends when the socket is closed.
func (q *queue) take() {
	defer close(q.onWay)
	buffer := make([]byte, 64<<10)
	for {
		n, err := q.socket.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		id, bytes, ok := packet(buffer[:n])
		if !ok {
			continue
		}
		due, ok := q.line.due(time.Now(), bytes)
		if !ok {
			q.decide(id, verdictDrop)
			continue
		}
		q.onWay <- held{id, due}
	}
}

// release lets each packet go when it is due.
func (q *queue) release() {
	for p := range q.onWay {
		select {
		case <-time.After(time.Until(p.due)):
			q.decide(p.id, verdictPass)
		case <-q.closed:
			return
		}
	}
}

// decide does not look at the error: where the node or the queue is gone, so is the packet.
func (q *queue) decide(id uint32, verdict uint32) {
	value := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, verdict), id)
	_, _ = q.socket.Write(message(msgVerdict, unix.NLM_F_REQUEST, q.line.number, attribute{attrVerdictHeader, value}))
}

// close ends the queue; the kernel drops what it held.
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

// message makes a message for the kernel.
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

// packet reads a message of the kernel: the packet's id and its length on the wire, IP header included. false: it is not
// about a packet.
func packet(m []byte) (id uint32, bytes int, ok bool) {
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
