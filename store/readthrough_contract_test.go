package store_test

import (
	"testing"
	"time"

	"userinfo/store"
	"userinfo/store/storetest"
)

func TestReadThrough_Contract(t *testing.T) {
	tables := map[string]*store.Memory{
		storetest.TableName:     store.NewMemory(1<<30, time.Now),
		storetest.KaskTableName: store.NewMemory(1<<30, time.Now),
	}
	storetest.RunReadThrough(t, func(c store.CollectionConfig) storetest.Table { return tables[c.Table] })
}
