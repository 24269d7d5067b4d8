package store

import (
	"time"

	"userinfo/access"
)

// Rows implements storetest.Dump.
func (m *Memory) Rows() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]string)
	for key, r := range m.rows {
		if len(r.value.data) > 0 {
			all[string(key)] = string(r.value.data)
		}
	}
	return all
}

// Put implements storetest.Dump.
func (m *Memory) Put(key, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[access.Key(key)].value = cell{time.Now().Add(time.Second).UnixMicro(), []byte(value), time.Now().Add(time.Hour)}
}
