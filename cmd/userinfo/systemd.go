package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/pprof"
	"strings"
	"time"

	"userinfo/api"
	"userinfo/internal/panics"
	"userinfo/internal/systemd"
)

// reportInterval is the longest time between two notifications to systemd.
const reportInterval = 5 * time.Second

// maxStacks is the largest part of the goroutines' stacks in the log record of a hang, in bytes.
const maxStacks = 64 << 10

// listen returns the socket that systemd has passed, or else listens at the address of the configuration.
func (s *service) listen() (net.Listener, error) {
	l, err := systemd.Listener()
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if l == nil {
		if l, err = net.Listen("tcp", s.config.Listen); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return l, nil
	}
	if err := checkSocketAddress(s.config.Listen, l.Addr()); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	s.log.Info("using the socket that systemd has opened", "address", l.Addr().String())
	return l, nil
}

// checkSocketAddress returns an error unless the socket of systemd has the address of the configuration. Otherwise firewall rules
// that are printed from the configuration would be wrong. It fails closed: an address without a port is an error. Port 0 is any
// port.
func checkSocketAddress(listen string, socket net.Addr) error {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return err
	}
	want, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return err
	}
	got, ok := socket.(*net.TCPAddr)
	if ok && (want.Port == 0 || want.Port == got.Port) && (want.IP.Equal(got.IP) || isEveryAddress(want.IP) && isEveryAddress(got.IP)) {
		return nil
	}
	return fmt.Errorf("systemd has opened %s, but listen in the configuration is %s: write the same address into ListenStream= of userinfo.socket", socket, listen)
}

// isEveryAddress reports whether an IP address in net.Listen means every address of the machine. 0.0.0.0 does too, IPv6 included.
func isEveryAddress(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }

// reportToSystemd tells systemd that the service has started: it listens on l. It then reports progress and status until stop
// is called, and when ctx ends that the service shuts down.
//
// The service has started before it has reached Cassandra. Otherwise systemd would kill and restart all instances again and
// again while Cassandra is away, and none would answer health checks.
func (s *service) reportToSystemd(ctx context.Context, l net.Listener, handler *api.API, server *api.Server) (stop func()) {
	s.notify(systemd.Ready, systemd.Status("listening on "+l.Addr().String()))
	s.announced.Store(true)
	w := watchdog{notify: s.notify, stalled: server.Stalled, log: s.log}
	interval := watchdogInterval(s.notifier.Watchdog)
	stopWatchdog := s.inBackground(context.WithoutCancel(ctx), panics.Systemd, func(ctx context.Context) { w.run(ctx, interval) })
	stopStatus := s.inBackground(ctx, panics.Systemd, func(ctx context.Context) {
		s.reportStatus(ctx, interval, func() string { return handler.Readiness(ctx) + "; listening on " + l.Addr().String() })
	})
	return func() {
		stopStatus()
		stopWatchdog()
	}
}

// reportStatus shows the status in `systemctl status` at every interval until ctx ends, and then that the service shuts down.
func (s *service) reportStatus(ctx context.Context, interval time.Duration, status func() string) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.notify(systemd.Stopping, systemd.Status("shutting down: answers the requests in flight"))
			return
		case <-tick.C:
			s.notify(systemd.Status(status() + s.reloadFailure()))
		}
	}
}

// reloadFailure returns the end of a status, or "" if all files in force are the newest ones.
func (s *service) reloadFailure() string {
	parts := s.reloader.Failing()
	if len(parts) == 0 {
		return ""
	}
	return "; reload failed, see the log: " + strings.Join(parts, ", ")
}

// reloadOnSignal calls reload, and tells systemd when it begins and ends. A failed reload ends too: the old files stay in force.
func (s *service) reloadOnSignal(reload func()) {
	if !s.announced.Load() { // Ready would say too early that the service listens
		reload()
		return
	}
	began, err := systemd.Reloading()
	if err != nil {
		s.log.Warn("systemd is not told that a reload begins", "error", err.Error())
	} else {
		s.notify(began)
		defer func() { s.notify(systemd.Ready, systemd.Status("read all files again"+s.reloadFailure())) }()
	}
	reload()
}

// notify sends notifications to systemd, and logs if that fails.
func (s *service) notify(notifications ...string) {
	if err := s.notifier.Notify(notifications...); err != nil {
		s.notifyFailed.Do(func() { s.log.Warn("systemd cannot be notified", "error", err.Error()) })
	}
}

// watchdogInterval returns the time between two looks at the service's progress: a third of the limit or less, so that two late
// notifications in a row do not end the process.
func watchdogInterval(limit time.Duration) time.Duration {
	if limit == 0 {
		return reportInterval
	}
	return min(reportInterval, limit/3)
}

// watchdog tells systemd that the service is alive, as long as every part of the server makes progress.
//
// The loops that reload files, replay deletes, compare clocks and check the schema do not count. They wait for disks and for
// Cassandra, and a restart would repair neither. It would only end what still works.
type watchdog struct {
	notify  func(...string)
	stalled func(elapsed time.Duration) string // api.Server.Stalled
	log     *slog.Logger
	logged  string // what was stalled at the last look
}

// run looks at every interval until ctx ends.
func (w *watchdog) run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(interval)
		}
	}
}

// look sends systemd.Alive, or logs what hangs.
func (w *watchdog) look(elapsed time.Duration) {
	stalled := w.stalled(elapsed)
	if stalled == "" {
		w.notify(systemd.Alive)
	} else if w.logged == "" {
		w.log.Error("this part of the service hangs: its work is not done. systemd restarts the service if this goes on", "part", stalled, "goroutines", goroutineStacks())
	}
	if stalled == "" && w.logged != "" {
		w.log.Warn("the service makes progress again", "part", w.logged)
	}
	w.logged = stalled
}

// goroutineStacks returns the functions and lines where goroutines are. Unlike a stack trace of Go, the text has no arguments,
// which can be parts of a key.
func goroutineStacks() string {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return err.Error()
	}
	return string(text.Bytes()[:min(text.Len(), maxStacks)])
}
