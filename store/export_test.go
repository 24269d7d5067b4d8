package store

// RowOverhead is rowOverhead.
const RowOverhead = rowOverhead

// Values returns all values that are not empty, by row key.
func (m *Memory) Values() map[string]string {
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
