package access

// Internals, exported for tests.
var (
	IsGenerated = Token.isGenerated
	ParseBearer = parseBearer
	Contains    = contains
)

const MaxTokenBytes = maxTokenBytes
