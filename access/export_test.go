package access

// Internals, exported for tests.
var (
	ParseBearer = parseBearer
	Contains    = contains
)

const MaxTokenBytes = maxTokenBytes
