package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"userinfo/internal/config"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve until SIGTERM",
		Long: `Serve listens at once and serves until SIGTERM or SIGINT. Until it has reached Cassandra and found the schema that the
configuration needs, /readyz and requests on keys are 503, and /healthz is 200. It then becomes ready without a restart. It
compares the schema again about every minute.

It reloads clients, audiences, proxies, seal.keys, certificates and key files when they change, within 5 s, or at once on
SIGHUP. Everything else in the configuration needs a restart. On SIGHUP it also opens audit.file again.

A log that blocks or fails stops neither the process nor gets and sets. While audit records cannot be written, deletes are
refused with 503, unless audit.required is false.

It raises its limit of open files (RLIMIT_NOFILE) to the hard limit, and does not start if that is below
limits.max_connections + 1024.

Under systemd (Type=notify) it reports that it has started as soon as it listens, even before it has reached Cassandra, and from
then on its status, reloads, its end, and that it makes progress (WatchdogSec=). If systemd passes a listening socket, it must have
the address of the setting listen.

It sets Go's memory limit to 80 % of the memory limit of its cgroup, if there is one and GOMEMLIMIT is not set. If GOGC is
not set, it is 400: the heap is small, and with Go's default of 100 the garbage collector would run several times a second.`,
		Example: "  userinfo serve --config /etc/userinfo/userinfo.yaml",
		Args:    cobra.NoArgs,
	}
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := openConfig(*file)
		if err != nil {
			return err
		}
		limit, err := raiseFileLimit()
		if err := errors.Join(err, checkFileLimit(limit, o.Limits.MaxConnections)); err != nil {
			return err
		}
		return runService(c.Context(), o, c.ErrOrStderr(), (*service).serveCassandra)
	}
	return c
}

// runService runs serve, reloads files meanwhile, and writes what is left of the logs at the end.
func runService(ctx context.Context, o *config.Opened, stderr io.Writer, serve func(*service, context.Context) error) (err error) {
	ignoreBrokenPipe()
	s, err := newService(o, stderr)
	if err != nil {
		return err
	}
	defer s.logs.closeLogs(&err)
	slog.SetDefault(s.log) // what a library logs must not block either
	defer s.startReloads(ctx)()
	return s.exit(ctx, serve(s, ctx))
}

// exit logs why the service stopped, and returns nil if it was told to.
func (s *service) exit(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	s.log.Error("cannot serve", "error", err.Error())
	return failed(errSilent)
}
