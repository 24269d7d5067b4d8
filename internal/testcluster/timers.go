package testcluster

import (
	"fmt"
	"time"
)

// timerSlack is how late a sleep of a node may end, unless Options.Benchmark is set. The kernel's default is 50 µs
// (PR_SET_TIMERSLACK in prctl(2)).
//
// A worker of Cassandra that has nothing to do sleeps for 10 µs, looks for work, and sleeps again (SEPWorker.doWaitSpin).
// With exact timers, the workers of six nodes keep a small machine busy although there are few requests. With this slack they
// look for work less often. Measured: see docs/performance.md.
const timerSlack = time.Millisecond

// withTimerSlack returns a command that runs command with this timer slack. Every process and thread inherits the slack from the one
// that started it, and keeps it when it executes another program.
func withTimerSlack(command []string) []string {
	script := fmt.Sprintf(`echo %d > /proc/self/timerslack_ns && exec "$@"`, timerSlack.Nanoseconds())
	return append([]string{"sh", "-c", script, "sh"}, command...)
}
