package main

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/time/rate"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/config"
	"userinfo/internal/panics"
	"userinfo/internal/systemd"
	"userinfo/passwords"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/clockskew"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// proxyTimeout is the time that a proxy has to send its PROXY protocol header.
const proxyTimeout = 2 * time.Second

// memoryShare is the part of the cgroup's memory limit that Go may use. The kernel needs the rest, mostly for sockets.
const memoryShare = 0.8

// gcPercent is the default of GOGC. The live heap is a few MB, so that Go's default of 100 would start the garbage collector
// several times a second. Measured: see docs/performance.md.
const gcPercent = 400

// service is one instance, from its configuration to its listener.
type service struct {
	config           *config.Opened
	reloader         *config.Reloader
	logs             *logs
	log              *slog.Logger // of logs
	registry         *prometheus.Registry
	panics           *panics.Recorder
	metrics          *store.Metrics
	confirmations    *store.Confirmations // of deletes in all collections
	largeValues      *store.LargeValues   // of all collections
	rewrites         *store.Rewrites      // of all collections
	processKey       access.AuditKey      // hashes the keys that rewrites lists, if there is no audit key
	sealMetrics      *seal.Metrics
	passwordMetrics  *passwords.Metrics // nil if the service keeps no passwords
	hashPool         *passwords.Pool    // nil if the service keeps no passwords
	cassandraMetrics *cassandra.Metrics
	clockMetrics     *clockskew.Metrics
	now              func() time.Time // clock of writes and of access rules
	backend          *backend
	notifier         *systemd.Notifier
	notifyFailed     rate.Sometimes // limits the log records about it
	announced        atomic.Bool    // systemd knows that the service listens
}

// tables returns the table of a collection.
type tables func(store.CollectionConfig) store.Rows

// memoryTables returns tables in memory, each of at most maxBytes.
func memoryTables(maxBytes int64) tables {
	return func(store.CollectionConfig) store.Rows { return store.NewMemory(maxBytes, time.Now) }
}

// newService returns a service that logs to stderr. The caller must close its logs at the end.
func newService(o *config.Opened, stderr io.Writer) (*service, error) {
	now, registry := time.Now, prometheus.NewRegistry()
	notifier, err := systemd.NewNotifier()
	if err != nil {
		return nil, err
	}
	processKey, err := access.NewAuditKey(rand.Reader)
	if err != nil {
		return nil, failed(err)
	}
	logs, err := openLogs(o.Config, stderr, registry)
	if err != nil {
		return nil, configError{o.Locate(err)}
	}
	s := &service{
		config:     o,
		now:        now,
		logs:       logs,
		log:        logs.Logger,
		panics:     logs.panics,
		registry:   registry,
		backend:    newBackend(),
		processKey: processKey,
		notifier:   notifier,

		notifyFailed: rate.Sometimes{Interval: time.Minute},
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.metrics = store.NewMetrics(s.registry)
	s.confirmations = store.NewConfirmations(time.Now, s.log, s.panics)
	s.largeValues = store.NewLargeValues(store.LargeBytes, s.metrics)
	s.rewrites = store.NewRewrites(time.Now, s.sessionHash)
	s.sealMetrics = seal.NewMetrics(s.registry)
	s.hashPool = s.newHashPool(s.panics)
	s.cassandraMetrics = cassandra.NewMetrics(s.registry)
	s.clockMetrics = clockskew.NewMetrics(s.registry)
	s.reloader = config.NewReloader(o, config.Options{Now: now, Log: s.log, Registry: s.registry, OnSignal: s.reloadOnSignal})
	return s, nil
}

// startReloads reloads changed files until ctx ends or stop is called. From its return on, SIGHUP means a reload, and that
// the audit file is opened again.
func (s *service) startReloads(ctx context.Context) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	stopReopening := s.reopenOnHangup(ctx)
	stopReloading := s.inBackground(ctx, panics.Reload, func(ctx context.Context) {
		s.reloader.Run(ctx, hangup)
		signal.Stop(hangup)
	})
	return func() {
		stopReloading()
		stopReopening()
	}
}

// serveTables serves the collections on l, in the tables that open returns, and passwords in memory, until ctx ends and
// every request that was accepted is answered.
func (s *service) serveTables(ctx context.Context, l net.Listener, open tables) error {
	var rows passwords.Rows
	if s.config.Passwords != nil {
		rows = passwords.NewMemory(devMemory, time.Now)
	}
	users, err := s.openCollections(open, rows)
	if err != nil {
		return err
	}
	if users != nil {
		defer users.Close()
	}
	s.logAddress("serving", l)
	return s.serve(ctx, l)
}

// logAddress logs what the service does now, with its version and the address of l.
func (s *service) logAddress(what string, l net.Listener) {
	s.log.Info(what, "version", versionText(), "go", runtime.Version(), "address", l.Addr().String())
}

// serve serves the backend on l until ctx ends and every request that was accepted is answered.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	tracer := s.openTracing()
	defer tracer.Close()          // after the last attempt of a delete
	defer s.confirmations.Close() // after the last request, before the session with Cassandra is closed
	if s.hashPool != nil {
		defer s.hashPool.Close() // after the last request
	}
	setGCPercent()
	memory := s.limitMemory()
	limits := s.config.ByteLimits(memory)
	s.log.Info("memory for values in flight, in bytes", "limit", limits.Total, "per_client", limits.PerClient)
	if limits.TooSmall != "" {
		s.log.Warn(limits.TooSmall)
	}
	s.logHashMemory(memory)
	perClient := s.config.Limits.PerClient
	perClient.MaxBytesInFlight = limits.PerClient
	logMissingProtection(s.log)
	handler := api.New(api.Config{
		Collections:      s.apiCollections(),
		Passwords:        s.apiPasswords(),
		Rules:            func() *api.Rules { return s.reloader.Current().Rules },
		Signatures:       signature.NewVerifier(signature.Config{Window: s.config.Signatures.Window, Nonces: s.config.Signatures.Nonces}),
		ClientLimits:     perClient,
		Audit:            s.logs.audit,
		Ready:            s.backend.ready,
		MaxInFlight:      s.config.Limits.MaxInFlight,
		MaxBytesInFlight: int64(limits.Total),
		RequestTimeout:   api.RequestTimeout,
		Tracer:           tracer,
		Registry:         s.registry,
		KaskNames:        s.config.Metrics.KaskNames,
		Version:          versionText(),
		RewrittenKeys:    s.rewrites.List,
		Panics:           s.panics,
		Log:              s.log,
		Now:              time.Now,
		Random:           rand.Reader,
	})
	server := api.NewServer(api.ServerConfig{
		API:                           handler,
		TLS:                           tlsconf.ListenerConfig(func() *tlsconf.Server { return s.reloader.Current().Server }),
		MaxConnections:                s.config.Limits.MaxConnections,
		MaxUnauthenticatedConnections: s.config.Limits.MaxUnauthenticatedConnections,
		MaxConnectionsPerAddress:      s.config.Limits.MaxConnectionsPerAddress,
		IdleTimeout:                   s.config.Limits.IdleTimeout,
		Drain:                         *s.config.Shutdown.Drain,
		Grace:                         s.config.Shutdown.Grace,
		Registry:                      s.registry,
		Log:                           s.log,
	})
	s.reloader.LogSealKeys()
	s.log.Info("requests for other hosts are refused", "authorities", s.reloader.Current().Rules.Authorities.Texts())
	proxies := func() *tlsconf.Proxies { return s.reloader.Current().Proxies }
	defer s.reportToSystemd(ctx, l, handler, server)()
	err := server.Serve(ctx, tlsconf.NewHandshakes(s.registry).Listener(tlsconf.NewProxyListener(l, proxies, proxyTimeout)))
	s.log.Info("stopped")
	return err
}

// setGCPercent sets the garbage collector's target, unless GOGC is set.
func setGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// limitMemory sets and returns Go's memory limit in bytes, or 0 without a limit. Near the limit, the garbage collector runs
// more often, instead of the kernel ending the process.
func (s *service) limitMemory() int64 {
	limit, err := setMemoryLimit()
	if err != nil {
		s.log.Warn("the memory limit of the cgroup cannot be read; no limit is set", "error", err.Error())
	}
	s.log.Info("memory limit in bytes; 0 is no limit", "limit", limit)
	return limit
}

// setMemoryLimit sets Go's memory limit to a share of the cgroup's, unless GOMEMLIMIT is set. It returns the limit in bytes, or
// 0 without a limit.
func setMemoryLimit() (int64, error) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if limit == math.MaxInt64 {
		limit = 0
	}
	return limit, err
}

// apiCollections returns the collections of the API. Before openCollections is called, their operations fail.
func (s *service) apiCollections() (all []api.Collection) {
	for i, k := range s.config.Collections {
		all = append(all, api.Collection{
			Name: k.Name, Path: k.Path, Store: backendCollection{s.backend, i}, DefaultTTL: k.DefaultTTL, MaxTTL: k.MaxTTL, MaxValueBytes: k.MaxValueBytes,
		})
	}
	return all
}

// openCollections lets requests use the collections of the configuration, in the tables that open returns, and the passwords
// on rows. It returns the passwords, which the caller must close; nil if the service keeps none.
func (s *service) openCollections(open tables, rows passwords.Rows) (*passwords.Users, error) {
	users, err := s.newUsers(rows)
	if err != nil {
		return nil, err
	}
	var names []string
	var all []*store.Collection
	for _, k := range s.config.Collections {
		c := k.StoreConfig()
		rows := s.openRows(c, open)
		if beneath, ok := k.Beneath(); ok {
			rows = store.NewReadThrough(rows, s.openRows(beneath, open), k.Name, s.metrics, s.panics)
		}
		names = append(names, k.Name)
		all = append(all, store.NewCollection(rows, c, store.Options{
			Now: s.now, Log: s.log, Metrics: s.metrics, Confirmations: s.confirmations, LargeValues: s.largeValues, Panics: s.panics,
			Rewrites:  s.rewrites,
			NotBefore: func() []store.NotBefore { return s.reloader.Current().NotBefore[k.Name] },
		}))
	}
	s.backend.open(names, all, users)
	return users, nil
}

// openRows returns the rows of a table, sealed unless it has Kask's layout.
func (s *service) openRows(c store.CollectionConfig, open tables) store.Rows {
	rows := open(c)
	if c.Layout == store.LayoutKask {
		return rows
	}
	return seal.NewRows(rows, seal.Config{Collection: c.Name, Keys: s.sealKeys, Random: rand.Reader, Metrics: s.sealMetrics})
}

// sessionHash returns the keyed hash of a session key that operators see: with the audit key, as in audit records, or, without an
// audit key, with a key that only this process has.
func (s *service) sessionHash(key access.Key) string {
	if k := s.reloader.Current().Rules.AuditKey; k != (access.AuditKey{}) {
		return k.Hash(key)
	}
	return s.processKey.Hash(key)
}

func (s *service) sealKeys() *seal.Keys { return s.reloader.Current().SealKeys }

// inBackground calls run in a goroutine, and again if it panics. stop cancels the context of run, and returns when run has
// returned.
func (s *service) inBackground(ctx context.Context, place panics.Place, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer s.panics.Recover(place, nil)
		defer close(done)
		s.panics.Loop(ctx, place, run)
	}()
	return func() {
		cancel()
		<-done
	}
}
