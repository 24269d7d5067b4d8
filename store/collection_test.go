package store

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestNewCollection_PanicsIfRowsAreNotSealed(t *testing.T) {
	for _, layout := range []Layout{"", LayoutUserInfo} {
		t.Run("layout "+string(layout), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			NewCollection(NewMemory(1, time.Now), CollectionConfig{Name: "sessions", Layout: layout, MaxTTL: time.Hour}, Options{
				Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
			})
		})
	}
}
