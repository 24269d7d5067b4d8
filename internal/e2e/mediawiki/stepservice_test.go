//go:build integration

package mediawiki_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/certchain"
	"userinfo/internal/devca"
	"userinfo/store"
	"userinfo/store/storetest"
)

// stepTTL is default_ttl and max_ttl of the collections of a stepService.
const stepTTL = 24 * time.Hour

// wikiToken is the token of the wiki in a stepService.
const wikiToken access.Token = "userinfo_token-of-the-wiki"

// stepService is an installation that moves from a table of Kask to a sealed table, both in memory. It has an instance in
// each step: 0, Kask's table only; 1 and 2, both tables; 3, the sealed table only. All instances run at the same time,
// and so does a Kask on its table.
type stepService struct {
	t            *testing.T
	kask, sealed *agingTable
	sealedRows   store.Rows
	urls, caFile [4]string // of the collection of each instance, and of the CA of its certificate
	metrics      [4]*prometheus.Registry
	tokenFile    string         // of the wiki
	kaskCache    map[string]any // the parameters of MediaWiki's own class for the Kask
	notBefore    atomic.Pointer[[]store.NotBefore]
	policy       atomic.Pointer[access.Policy]
}

// agingTable is a table whose values can be made to expire.
type agingTable struct {
	*store.Memory
	ahead atomic.Int64 // of its clock, in ns
}

func newAgingTable() *agingTable {
	a := &agingTable{}
	a.Memory = store.NewMemory(64<<20, func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) })
	return a
}

// expireAll makes all values expire, as they do if nobody writes to the table for stepTTL.
func (a *agingTable) expireAll() { a.ahead.Add(int64(stepTTL + time.Second)) }

func newStepService(t *testing.T) *stepService {
	t.Helper()
	s := &stepService{t: t, kask: newAgingTable(), sealed: newAgingTable()}
	s.sealedRows = storetest.NewSealedRows(t, s.sealed, "sessions")
	s.notBefore.Store(new([]store.NotBefore))
	s.allow(access.Get, access.Set, access.Touch, access.Delete)
	for n := range s.urls {
		s.metrics[n] = prometheus.NewRegistry()
		server, caFile := newTLSServer(t, s.instance(n))
		s.urls[n], s.caFile[n] = server.URL+"/sessions/v1/", caFile
	}
	s.tokenFile = filepath.Join(t.TempDir(), "token")
	write(t, s.tokenFile, string(wikiToken))
	server, caFile := newTLSServer(t, &kaskServer{table: s.kask, inserted: make(map[access.Key]bool)})
	s.kaskCache = stockCache(server.URL+"/sessions/v1/", caFile)
	return s
}

// allow sets what the wiki may do, as a reload of the configuration does.
func (s *stepService) allow(actions ...access.Action) {
	s.t.Helper()
	var grants []access.Grant
	for _, a := range actions {
		grants = append(grants, access.GrantOn("sessions", a))
	}
	p, err := accesstest.Policy([]access.Client{{
		Name: "wiki", Tokens: []access.TokenRule{{SHA256: wikiToken.HashText()}}, Grants: grants, Keys: []string{"*"},
	}}, []string{"sessions"}, time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.policy.Store(p)
}

// endOlder ends all values that were set until now, as not_before does.
func (s *stepService) endOlder() {
	s.t.Helper()
	every, err := access.ParseKeyPatterns("", []string{"*"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.notBefore.Store(&[]store.NotBefore{{Keys: every, Time: time.Now()}})
}

// rows returns the rows of a step, and their layout.
func (s *stepService) rows(step int, m *store.Metrics) (store.Rows, store.Layout) {
	switch step {
	case 0:
		return s.kask, store.LayoutKask
	case 1:
		return store.NewReadThrough(s.kask, s.sealedRows, "sessions", m, nil), store.LayoutKask
	case 2:
		return store.NewReadThrough(s.sealedRows, s.kask, "sessions", m, nil), store.LayoutUserInfo
	}
	return s.sealedRows, store.LayoutUserInfo
}

// instance returns the API of an instance.
func (s *stepService) instance(step int) http.Handler {
	s.t.Helper()
	locks, lockErr := access.ParseKeyPatterns("", []string{"*:lock"})
	authorities, authorityErr := access.ParseAuthorities("", []string{"127.0.0.1"})
	ca, caErr := devca.New("clients")
	if lockErr != nil || authorityErr != nil || caErr != nil {
		s.t.Fatal(lockErr, authorityErr, caErr)
	}
	headers, err := forwarded.NewRules(certchain.New(ca.Certificate()), "")
	if err != nil {
		s.t.Fatal(err)
	}
	log, registry := slog.New(slog.DiscardHandler), s.metrics[step]
	m := store.NewMetrics(registry)
	rows, layout := s.rows(step, m)
	config := store.CollectionConfig{Name: "sessions", Table: "sessions", Layout: layout, MaxTTL: stepTTL, Fence: time.Minute, FenceExempt: locks, TouchSlack: 0.01}
	return api.New(api.Config{
		Collections: []api.Collection{{
			Name: "sessions", Path: "/sessions/v1", DefaultTTL: stepTTL, MaxTTL: stepTTL, MaxValueBytes: 1 << 20,
			Store: store.NewCollection(rows, config, store.Options{Now: time.Now, Log: log, Metrics: m,
				NotBefore: func() []store.NotBefore { return *s.notBefore.Load() }}),
		}},
		Rules: func() *api.Rules {
			return &api.Rules{
				Policy: s.policy.Load(), Authorities: authorities, Forwarded: headers,
				ClientCAs: func([][]*x509.Certificate) ([]string, error) { return nil, nil },
			}
		},
		Ready: func(context.Context) error { return nil }, Signatures: signature.NewVerifier(signature.Config{}), Audit: noAudit{},
		MaxInFlight: 100, RequestTimeout: api.RequestTimeout, Registry: registry, Log: log, Now: time.Now, Random: rand.Reader,
	})
}

// noAudit drops all records.
type noAudit struct{}

func (noAudit) Reserve(bool) (bool, error)           { return false, nil }
func (noAudit) Record(context.Context, ...slog.Attr) {}
func (noAudit) Release()                             {}
func (noAudit) Check() error                         { return nil }

// foundBeneath returns how many values an instance has found in the table beneath.
func (s *stepService) foundBeneath(step int) (n float64) {
	s.t.Helper()
	families, err := s.metrics[step].Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "userinfo_store_read_through_total" && l.GetName() == "table" && l.GetValue() == "beneath" {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}
