package signature

import "time"

// Defaults of Config.
const (
	DefaultWindow = 60 * time.Second
	DefaultNonces = 1 << 20
)

// Config configures a Verifier. The zero Config uses the defaults.
type Config struct {
	// Window is the largest difference between created and the service's time, in either direction. It is in whole seconds.
	// 0 means DefaultWindow.
	Window time.Duration
	// Nonces is the number of nonces that are remembered for one key. A key uses one for each request within one window, or
	// within two windows if the client's clock is ahead. Each takes about 70 bytes. 0 means DefaultNonces. Beyond the limit,
	// requests with that key are ErrNoncesFull.
	Nonces int
	// Now returns the current time. Nil means time.Now.
	Now func() time.Time
}

// Verifier verifies signatures and remembers their nonces. A process needs exactly one, for all keys, because a second Verifier
// would not know the nonces of the first. It is safe for concurrent use.
type Verifier struct {
	window int64 // seconds
	now    func() time.Time
	nonces *nonces
}

// NewVerifier returns a Verifier that has seen no nonce.
func NewVerifier(c Config) *Verifier {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.Nonces == 0 {
		c.Nonces = DefaultNonces
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	window := int64(c.Window / time.Second)
	return &Verifier{window: window, now: c.Now, nonces: newNonces(c.Nonces, window)}
}

// Verified proves that a request was signed with a key. The zero Verified proves nothing.
type Verified struct {
	keyID   string
	created time.Time
	body    digests // of the body, as covered by the signature
}

// KeyID returns the id of the key that signed the request. It is empty for the zero Verified.
func (v Verified) KeyID() string { return v.keyID }

// Created returns the time of signing that the client sent, in whole seconds.
func (v Verified) Created() time.Time { return v.created }

// CheckBody decides whether body is the body that was signed. Call it before using a body. It fails closed: it returns ErrBody for
// a body without a covered digest, for a body that does not match its digest and, for the zero Verified, for every body, even an
// empty one. An empty body needs no digest.
func (v Verified) CheckBody(body []byte) error {
	switch {
	case v.keyID == "":
		return ErrBody
	case len(body) == 0 && !v.body.sent():
		return nil
	case !v.body.match(body):
		return ErrBody
	}
	return nil
}

// Verify decides whether r was signed with a known key. It does not check the body: see Verified.CheckBody. find returns the key
// with the keyid that was sent.
//
// It fails closed. It returns ErrMalformed for a missing signature and a signature outside the profile. It returns an ErrRefused
// for an unknown or zero key, an algorithm that is not the key's, a time outside the window, a change of anything that is
// covered and a used nonce. It returns ErrNoncesFull if the nonce cannot be remembered.
func (v *Verifier) Verify(r Request, find func(keyID string) (Key, bool)) (Verified, error) {
	in, err := parse(r.Header)
	if err != nil {
		return Verified{}, err
	}
	if err := in.checkProfile(r); err != nil {
		return Verified{}, err
	}
	text, err := base(r, in.components, in.text)
	if err != nil {
		return Verified{}, err
	}
	verified := Verified{keyID: in.keyID, created: time.Unix(in.created, 0)}
	if in.covers("content-digest") {
		if verified.body, err = parseDigests(r.Header); err != nil {
			return Verified{}, err
		}
	}
	now := v.now().Unix()
	if err := v.checkTime(in, now); err != nil {
		return Verified{}, err
	}
	if err := checkSignature(in, text, find); err != nil {
		return Verified{}, err
	}
	if !r.HasBody {
		if err := verified.CheckBody(nil); err != nil {
			return Verified{}, err
		}
	}
	if err := v.nonces.use(now, in.keyID, in.nonce, in.created+v.window); err != nil {
		return Verified{}, err
	}
	return verified, nil
}

// checkTime decides whether the signature is neither too old nor too new (RFC 9421, section 3.2). It fails closed: outside the
// window it returns an ErrRefused.
func (v *Verifier) checkTime(in *input, now int64) error {
	switch {
	case now > in.created+v.window:
		return ErrStale
	case in.created > now+v.window:
		return ErrFuture
	case in.hasExpires && now >= in.expires:
		return ErrExpired
	}
	return nil
}

// checkSignature decides whether the key that the signature names made it for the signature base. It fails closed: without a
// key, or with a key of another id or algorithm, it returns an ErrRefused.
func checkSignature(in *input, text string, find func(keyID string) (Key, bool)) error {
	key, ok := find(in.keyID)
	if !ok || key.id != in.keyID {
		return ErrUnknownKey
	}
	if in.algorithm != "" && in.algorithm != key.Algorithm() {
		return ErrAlgorithm
	}
	if !key.verify(text, in.signature) {
		return ErrInvalid
	}
	return nil
}
