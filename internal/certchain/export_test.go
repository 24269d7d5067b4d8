package certchain

// CountSignatures makes v call count for each signature that v verifies itself.
func (v *Verifier) CountSignatures(count func()) { v.signatures = count }
