package certchain

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxCached bounds the memory of a Cache. It is more than the number of clients that authenticate with a certificate.
const maxCached = 1024

// Cache remembers verified chains, so that signatures are verified once for each client and not for each connection or
// request. The zero value is empty. It is safe for concurrent use.
type Cache struct {
	mu      sync.RWMutex
	entries map[Key]cachedChains
}

// Key is the SHA-256 of the exact bytes that were verified.
type Key [sha256.Size]byte

// cachedChains are verified chains and the time in which every certificate in them is valid.
type cachedChains struct {
	chains              [][]*x509.Certificate
	notBefore, notAfter time.Time
}

// Get returns the cached chains, or nil. It fails closed: if a certificate in them is not valid at now, it returns nil, and
// the certificate is verified again.
func (c *Cache) Get(key Key, now time.Time) [][]*x509.Certificate {
	c.mu.RLock()
	entry, ok := c.entries[key]
	c.mu.RUnlock()
	if !ok || now.Before(entry.notBefore) || now.After(entry.notAfter) {
		return nil
	}
	return entry.chains
}

// Put stores verified chains. When the cache is full it starts with an empty one.
func (c *Cache) Put(key Key, chains [][]*x509.Certificate) {
	entry := cachedChains{chains: chains, notBefore: chains[0][0].NotBefore, notAfter: chains[0][0].NotAfter}
	for _, chain := range chains {
		for _, cert := range chain {
			if cert.NotBefore.After(entry.notBefore) {
				entry.notBefore = cert.NotBefore
			}
			if cert.NotAfter.Before(entry.notAfter) {
				entry.notAfter = cert.NotAfter
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= maxCached {
		c.entries = make(map[Key]cachedChains)
	}
	c.entries[key] = entry
}
