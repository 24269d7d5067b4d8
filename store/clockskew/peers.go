package clockskew

import (
	"context"
	"errors"
	"time"
)

// peerOffset is the smallest offset of another instance in the current window and in the one before, in µs.
type peerOffset struct{ current, previous int64 }

// noOffset is larger than any offset. It stands for a window without a heartbeat.
const noOffset = int64(1) << 62

func (p *peerOffset) smallest() int64 { return min(p.current, p.previous) }

// exchangeHeartbeats writes this instance's heartbeat, reads those of the other instances, and returns the skews of the
// other instances.
func (m *Monitor) exchangeHeartbeats(ctx context.Context) []skew {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	writeErr := m.writeHeartbeat(bounded)
	heartbeats, readErr := m.config.Table.Heartbeats(bounded)
	read := m.config.Now().UnixMicro()
	err := errors.Join(writeErr, readErr)
	if err != nil && !m.exchangeFails && ctx.Err() == nil {
		m.config.Log.WarnContext(ctx, "cannot compare clocks with other instances; trying again", "error", err.Error())
	}
	m.exchangeFails = err != nil
	return m.peerSkews(heartbeats, read)
}

func (m *Monitor) writeHeartbeat(ctx context.Context) error {
	offsets := make(map[string]int64)
	for name, p := range m.peers {
		offsets[name] = p.smallest()
	}
	now := m.config.Now().UnixMicro()
	m.lastTimestamp = max(now, m.lastTimestamp+1) // increases even if the clock is set back
	return m.config.Table.WriteHeartbeat(ctx, Heartbeat{
		Instance: m.config.Instance, Datacentre: m.config.Datacentre, Written: now, Offsets: offsets,
	}, m.lastTimestamp, heartbeatTTL)
}

// peerSkews updates the offsets of all instances from heartbeats that were read at a time, and returns their skews. It
// forgets instances without a heartbeat.
func (m *Monitor) peerSkews(heartbeats []Heartbeat, read int64) (skews []skew) {
	peers := make(map[string]*peerOffset)
	for _, h := range heartbeats {
		if h.Instance == m.config.Instance {
			continue
		}
		offset := read - h.Written
		p := m.peers[h.Instance]
		if p == nil {
			p = &peerOffset{noOffset, noOffset}
		}
		p.current = min(p.current, offset)
		peers[h.Instance] = p

		ours, known := h.Offsets[m.config.Instance]
		if !known {
			continue // the other instance has not read a heartbeat of ours yet
		}
		theirs := p.smallest()
		if ours+theirs < 0 { // a contradiction: one of the clocks was set
			*p = peerOffset{offset, noOffset}
			continue
		}
		skews = append(skews, skew{
			kind: "instance", name: h.Datacentre + "/" + h.Instance,
			ahead: microseconds(ours-theirs) / 2, maxError: microseconds(ours+theirs) / 2,
		})
	}
	m.peers = peers
	return skews
}

// startWindow forgets the offsets of the window before the current one.
func (m *Monitor) startWindow() {
	for _, p := range m.peers {
		p.previous, p.current = p.current, noOffset
	}
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
