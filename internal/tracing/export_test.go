package tracing

// Constants that the tests need.
const (
	QueueSize          = queueSize
	MaxBatch           = maxBatch
	MaxTries           = maxTries
	FirstPause         = firstPause
	LongestPause       = longestPause
	FailureLogInterval = failureLogInterval
)

// Busy returns the error of a collector that asks for a pause.
var Busy = statusError
