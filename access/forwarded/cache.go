package forwarded

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxCached bounds the memory of a chainCache. It is more than the number of clients behind a proxy.
const maxCached = 1024

// chainCache remembers verified certificates, so that the signatures are verified once for each client and not at each
// request, as on a TLS connection. The zero value is empty. It is safe for concurrent use.
type chainCache struct {
	mu      sync.RWMutex
	entries map[cacheKey]cachedChains
}

// cacheKey is the SHA-256 of the headers as they were sent.
type cacheKey [sha256.Size]byte

// cachedChains are verified chains and the time in which every certificate in them is valid.
type cachedChains struct {
	chains              [][]*x509.Certificate
	notBefore, notAfter time.Time
}

// newCacheKey returns the key of headers, each with at most one value. name is the name of the first header. A zero byte,
// which no header contains, separates the values.
func newCacheKey(name string, headers ...[]string) cacheKey {
	text := name
	for _, values := range headers {
		if values != nil {
			text += "\x00" + values[0]
		}
	}
	return sha256.Sum256([]byte(text))
}

// get returns the cached chains, or nil. It fails closed: if a certificate in them is not valid at now, it returns nil, and
// the certificate is verified again.
func (c *chainCache) get(key cacheKey, now time.Time) [][]*x509.Certificate {
	c.mu.RLock()
	entry, ok := c.entries[key]
	c.mu.RUnlock()
	if !ok || now.Before(entry.notBefore) || now.After(entry.notAfter) {
		return nil
	}
	return entry.chains
}

// put stores verified chains. When the cache is full it starts with an empty one.
func (c *chainCache) put(key cacheKey, chains [][]*x509.Certificate) {
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
		c.entries = make(map[cacheKey]cachedChains)
	}
	c.entries[key] = entry
}
