package config

// Metrics configures what /metrics contains.
type Metrics struct {
	// KaskNames also exposes the metrics that Kask has, under its names, so that its dashboards go on working. Default false.
	KaskNames bool `yaml:"kask_names"`
}
