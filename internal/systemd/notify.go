// Package systemd sends notifications to systemd (sd_notify), and receives the interval of the watchdog and a listening socket
// (socket activation). Without systemd, it does nothing.
//
// Invariants:
//
//  1. A notification blocks for at most sendTimeout, also if systemd does not read.
//  2. The text of a status becomes one line, so no text can add another notification.
//  3. A passed socket that is not one listening TCP socket is an error. The service then does not serve at all.
//
// The package trusts its environment variables, which the starter of a process chooses.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifications. Manual page sd_notify(3) explains them.
const (
	Ready    = "READY=1"    // the service has started, or has reloaded
	Stopping = "STOPPING=1" // the service shuts down
	Alive    = "WATCHDOG=1" // the service makes progress
)

// sendTimeout is the time limit of one notification.
const sendTimeout = time.Second

// Status returns a notification with a line for `systemctl status`.
func Status(text string) string { return "STATUS=" + strings.Join(strings.Fields(text), " ") }

// Reloading returns the notification that a reload begins. Ready ends the reload.
func Reloading() (string, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", fmt.Errorf("reading the monotonic clock: %w", err)
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000), nil
}

// Notifier sends notifications. It is safe for concurrent use.
type Notifier struct {
	socket string // path, or @ and a name; empty without systemd
	// Watchdog is the time without Alive after which systemd ends the process. 0: never.
	Watchdog time.Duration
}

// NewNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func NewNotifier() (*Notifier, error) {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	text, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if text == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil
	}
	microseconds, err := strconv.ParseInt(text, 10, 64)
	n.Watchdog = time.Duration(microseconds) * time.Microsecond
	if err != nil || n.Watchdog <= 0 || n.Watchdog/time.Microsecond != time.Duration(microseconds) {
		return nil, fmt.Errorf("WATCHDOG_USEC is %q; systemd sets it to a number of microseconds", text)
	}
	return n, nil
}

// Notify sends notifications in one message.
func (n *Notifier) Notify(notifications ...string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	deadlineErr := c.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err = c.Write([]byte(strings.Join(notifications, "\n")))
	if err := errors.Join(deadlineErr, err, c.Close()); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}
