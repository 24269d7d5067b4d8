package target

import (
	"time"

	"userinfo/bench/load"
)

// defaultTTL is the service's, for operations that leave it to the target.
const defaultTTL = 24 * 3600

// ttl of op, in seconds.
func ttl(op *load.Op) int {
	if op.TTL == 0 {
		return defaultTTL
	}
	return op.TTL
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// found is the outcome of a get that has found a value of n bytes, but for err.
func found(op *load.Op, n int, err error) error {
	switch {
	case err == nil && op.Absent:
		return load.Found
	case err == nil && op.Length > 0 && n != op.Length:
		return load.OtherLength
	}
	return err
}

// missed is that of one that has found nothing.
func missed(op *load.Op) error {
	if op.Absent {
		return nil
	}
	return load.NotFound
}
