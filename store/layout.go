package store

import "time"

// Layout is the format of a collection's table. The empty Layout is LayoutUserInfo.
type Layout string

const (
	// LayoutUserInfo has the columns (key blob PRIMARY KEY, value blob, gone boolean). Its rows are always sealed.
	LayoutUserInfo Layout = "userinfo"
	// LayoutKask is the layout of Wikimedia's Kask: (key text PRIMARY KEY, value blob), and gone boolean if the
	// collection has a logout fence. Its rows are never sealed, and its keys must be UTF-8.
	LayoutKask Layout = "kask"
)

// IsValid reports whether l is a known layout. The empty Layout is not valid in a configuration.
func (l Layout) IsValid() bool { return l == LayoutUserInfo || l == LayoutKask }

// HasMarker reports whether a table of this layout has the column gone, which holds the marker of a delete.
func (l Layout) HasMarker(fence time.Duration) bool { return l != LayoutKask || fence > 0 }
