package store

import (
	"fmt"
	"testing"

	"userinfo/access"
)

// TestPendingBucket_IsStable checks the stored format: other versions of the service must use the same buckets.
func TestPendingBucket_IsStable(t *testing.T) {
	for key, want := range map[access.Key]int{"": 5, "a": 12, "enwiki:session:1": 5, "\xff\x00": 10} {
		if got := PendingBucket(key); got != want {
			t.Errorf("the bucket of %q is %d, want %d", string(key), got, want)
		}
	}
}

func TestPendingBucket_IsEven(t *testing.T) {
	seen := make(map[int]int)
	for n := range 1600 {
		seen[PendingBucket(access.Key(fmt.Sprint("key:", n)))]++
	}
	for bucket := range PendingBuckets {
		if seen[bucket] < 50 {
			t.Errorf("bucket %d has %d of 1600 keys", bucket, seen[bucket])
		}
	}
}
