package signature

import "time"

// Defaults of Config.
const (
	DefaultWindow = 60 * time.Second
	DefaultNonces = 1 << 20
)

// Config is a Verifier's. The zero Config is good.
type Config struct {
	// Window is how far created may lie from the service's time, on either side, in whole seconds from 1. 0 is
	// DefaultWindow.
	Window time.Duration
	// Nonces is how many are remembered of one key: its requests in one window, or two where its clock runs ahead. Each
	// takes about 60 bytes. 0 is DefaultNonces. Beyond it, requests of that key are ErrNoncesFull.
	Nonces int
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// Verifier verifies signatures, and remembers their nonces. There is one for all of a service's life and all its keys,
// as another would not know the nonces; it is safe for concurrent use.
type Verifier struct {
	window int64 // seconds
	now    func() time.Time
	nonces nonces
}

// NewVerifier makes a Verifier that remembers nothing.
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
	return &Verifier{window: int64(c.Window / time.Second), now: c.Now, nonces: nonces{limit: c.Nonces}}
}

// Verified is proof that a request was signed with a key. The zero Verified is proof of nothing.
type Verified struct {
	keyID   string
	created time.Time
	body    digests // covered by the signature
}

// KeyID is of the key that the request was signed with; empty in the zero Verified.
func (v Verified) KeyID() string { return v.keyID }

// Created is when the client says that it signed, in whole seconds.
func (v Verified) Created() time.Time { return v.created }

// CheckBody tells whether body is the one that was signed; call it before anything is done with a body. It fails closed:
// a body that is not covered by a digest, or not the same in every byte, is ErrBody, and so is any body, even none, to
// the zero Verified. No body where none is covered is right.
func (v Verified) CheckBody(body []byte) error {
	switch {
	case v.keyID == "":
		return ErrBody
	case len(body) == 0 && !v.body.given():
		return nil
	case !v.body.match(body):
		return ErrBody
	}
	return nil
}

// Verify tells whether r, all but its body, was signed with a key that find knows. find is asked for the keyid that was
// sent; its key verifies only what has that keyid.
//
// It fails closed: no signature, one outside the profile, an unknown or zero key, another algorithm than the key's, a
// time outside the window, a change to anything that is covered and a nonce that was used are errors, of which each is
// an ErrMalformed, an ErrRefused or ErrNoncesFull.
func (v *Verifier) Verify(r Request, find func(keyID string) (Key, bool)) (Verified, error) {
	in, err := parse(r.Header)
	if err != nil {
		return Verified{}, err
	}
	if err := in.required(r); err != nil {
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
	if err := v.current(in, now); err != nil {
		return Verified{}, err
	}
	if err := authentic(in, text, find); err != nil {
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

// current tells whether a signature is neither too old nor too new (RFC 9421, section 3.2).
func (v *Verifier) current(in *input, now int64) error {
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

// authentic tells whether the signature is of text and by the key that it names. It fails closed: no key, or one of
// another name or algorithm, verifies nothing.
func authentic(in *input, text string, find func(keyID string) (Key, bool)) error {
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
