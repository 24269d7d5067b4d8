package main

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/config"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// service is one instance, from its configuration to its listener.
type service struct {
	config           *config.Config
	files            *files
	log              *slog.Logger
	audit            *slog.Logger // to the same place, whatever the level
	registry         *prometheus.Registry
	metrics          *store.Metrics
	cassandraMetrics *cassandra.Metrics
	sealMetrics      *seal.Metrics
	now              func() time.Time // the clock of what is written, and of who may do what
	rules
	reload *reloader
}

// proxyTimeout is how long a proxy may take for its PROXY protocol header.
const proxyTimeout = 2 * time.Second

// opener returns the table of a collection.
type opener func(store.CollectionConfig) store.Rows

// newService makes a service of a checked configuration; logs go to w.
func newService(c *config.Config, f *files, w io.Writer) (*service, error) {
	now := time.Now
	s := &service{
		config:   c,
		files:    f,
		now:      now,
		log:      slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level()})),
		audit:    slog.New(slog.NewJSONHandler(w, nil)),
		registry: prometheus.NewRegistry(),
	}
	if err := s.set(c, f.signers, now); err != nil {
		return nil, err
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.sealMetrics = seal.NewMetrics(s.registry)
	s.metrics, s.cassandraMetrics = store.NewMetrics(s.registry), cassandra.NewMetrics(s.registry)
	s.reload = newReloader(s)
	return s, nil
}

// run serves on l until ctx ends and everything accepted is answered.
func (s *service) run(ctx context.Context, l net.Listener, open opener) error {
	ballast := chooseMemory(os.DirFS("/"), os.Getenv("GOGC"), os.Getenv("GOMEMLIMIT"), debug.SetMemoryLimit(-1)).apply(s.log)
	defer runtime.KeepAlive(ballast)
	collections, ready := s.collections(open)
	handler := api.New(api.Config{
		Collections:    collections,
		Rules:          s.requestRules,
		Signatures:     signature.NewVerifier(signature.Config{Window: s.config.Signatures.Window, Nonces: s.config.Signatures.Nonces}),
		ClientLimits:   s.config.Limits.PerClient,
		Audit:          s.audit,
		Ready:          ready,
		MaxInFlight:    s.config.Limits.MaxInFlight,
		RequestTimeout: api.RequestTimeout,
		Registry:       s.registry,
		Log:            s.log,
		Now:            time.Now,
		Random:         rand.Reader,
	})
	server := api.NewServer(api.ServerConfig{
		API:            handler,
		TLS:            tlsconf.ListenerConfig(s.files.server.Load),
		MaxConnections: s.config.Limits.MaxConnections,
		Drain:          *s.config.Shutdown.Drain,
		Grace:          s.config.Shutdown.Grace,
		Registry:       s.registry,
		Log:            s.log,
	})
	s.sayKeys()
	s.log.Info("serving", "version", versionText(), "go", runtime.Version(), "address", l.Addr().String())
	err := server.Serve(ctx, tlsconf.NewProxyListener(l, s.proxies, proxyTimeout))
	s.log.Info("stopped")
	return err
}

// requestRules returns the rules that are in force.
func (s *service) requestRules() *api.Rules {
	server := s.files.server.Load()
	return &api.Rules{
		Policy:        s.policy.Load(),
		ClientCAs:     server.VerifyChains,
		Forwarded:     s.forwardedNow(server.ClientPool()),
		SignatureKeys: *s.signers.Load(),
		AuditKey:      s.files.auditKey(),
	}
}

// sayKeys logs the seal keys' ids, by which instances and rows can be compared.
func (s *service) sayKeys() {
	if keys := s.files.keys.Load(); keys != nil {
		s.log.Info("seal keys in force, of which the first seals", "ids", keys.IDs())
	}
}

// collections opens a store for each; the last reads for readiness, as all share one cluster.
func (s *service) collections(open opener) ([]api.Collection, func(context.Context) error) {
	var all []api.Collection
	var ready func(context.Context) error
	for _, k := range s.config.Collections {
		rows := open(k.StoreConfig())
		if k.Layout != store.LayoutKask {
			rows = seal.NewRows(rows, seal.Config{Collection: k.Name, Keys: s.files.keys.Load, Random: rand.Reader, Metrics: s.sealMetrics})
		}
		c := store.NewCollection(rows, k.StoreConfig(), store.Options{Now: s.now, Log: s.log, Metrics: s.metrics})
		ready = c.Ready
		all = append(all, api.Collection{
			Name: k.Name, Path: k.Path, Store: c, DefaultTTL: k.DefaultTTL, MaxTTL: k.MaxTTL, MaxValueBytes: k.MaxValueBytes,
		})
	}
	return all, ready
}
