package signature

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// label is the label of signatures that Signer makes. It has no meaning and is not signed.
const label = "userinfo"

// nonceBytes is the number of random bytes in a nonce, so that no nonce comes twice.
const nonceBytes = 16

// Signer signs requests as a Verifier expects them:
//
//	key, err := signature.ParseSigningKey("wiki-1", fileContent)
//	client := &http.Client{Transport: &signature.Transport{Signer: signature.Signer{Key: key}}}
//
// It may be copied, and is safe for concurrent use if Random is.
type Signer struct {
	Key    SigningKey
	Now    func() time.Time // nil means time.Now
	Random io.Reader        // for nonces; nil means crypto/rand.Reader
}

// Sign sets the headers Signature-Input and Signature of r and, if there is a body, Content-Digest. The signature covers the
// method, the authority, the URI as net/http sends it, the TTL header if there is one, and body. body must be the complete
// content of r.Body, which Sign does not read. Call Sign last, after r is complete, and again each time r is sent, because a
// signature is accepted only once, and only within the service's window (60 s by default).
//
// Errors say what to change, and contain nothing of r or the key.
func (s Signer) Sign(r *http.Request, body []byte) error {
	req, err := requestOf(r, body)
	if err != nil {
		return err
	}
	components := []string{"@method", "@authority", "@target-uri"}
	if len(req.Header[ttlField]) > 0 {
		components = append(components, "ttl")
	}
	if req.HasBody {
		req.Header.Set(digestField, contentDigest(body))
		components = append(components, "content-digest")
	} else {
		req.Header.Del(digestField)
	}
	list, err := s.params(components)
	if err != nil {
		return err
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return fmt.Errorf("writing the parameters of a signature: %w", err)
	}
	text, err := base(req, components, params)
	if err != nil {
		return err
	}
	signature, err := s.Key.sign(text)
	if err != nil {
		return err
	}
	r.Header = req.Header
	r.Header.Set(inputField, label+"="+params)
	r.Header.Set(signatureField, label+"=:"+base64.StdEncoding.EncodeToString(signature)+":")
	return nil
}

// requestOf returns what the service will see of r. Its Header is a copy.
func requestOf(r *http.Request, body []byte) (Request, error) {
	if r.URL == nil || r.URL.Scheme != "https" {
		return Request{}, errors.New("the URL does not begin with https://, which is the only scheme of the service")
	}
	req := Request{Method: r.Method, Authority: r.Host, Header: r.Header.Clone(), HasBody: len(body) > 0}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	if req.Authority == "" {
		req.Authority = r.URL.Host
	}
	req.Path, req.Query, req.HasQuery = strings.Cut(r.URL.RequestURI(), "?")
	return req, nil
}

// params returns the covered components and the parameters of a new signature.
func (s Signer) params(components []string) (httpsfv.InnerList, error) {
	random, now := s.Random, s.Now
	if random == nil {
		random = rand.Reader
	}
	if now == nil {
		now = time.Now
	}
	var nonce [nonceBytes]byte
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return httpsfv.InnerList{}, fmt.Errorf("reading randomness for a nonce: %w", err)
	}
	list := httpsfv.InnerList{Params: httpsfv.NewParams()}
	for _, c := range components {
		list.Items = append(list.Items, httpsfv.NewItem(c))
	}
	list.Params.Add("created", now().Unix())
	list.Params.Add("nonce", base64.RawURLEncoding.EncodeToString(nonce[:]))
	list.Params.Add("keyid", s.Key.ID())
	list.Params.Add("alg", string(s.Key.Algorithm()))
	return list, nil
}

// Transport is an http.RoundTripper that signs each request before another transport sends it. It reads the body into memory.
//
// http.Transport may send a request again, with the same signature, if a reused connection breaks before the response. If the
// service has already seen the signature, it answers 401, and the caller must send the request again.
type Transport struct {
	Signer Signer
	Base   http.RoundTripper // nil means http.DefaultTransport
}

// RoundTrip implements http.RoundTripper. It does not change r, except that it reads and closes the body.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("reading the body for the signature: %w", err)
		}
	}
	signed := r.Clone(r.Context())
	signed.Body, signed.GetBody, signed.ContentLength, signed.TransferEncoding = http.NoBody, nil, 0, nil
	if len(body) > 0 {
		signed.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		signed.Body, _ = signed.GetBody()
		signed.ContentLength = int64(len(body))
	}
	if err := t.Signer.Sign(signed, body); err != nil {
		return nil, err
	}
	next := t.Base
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(signed)
}
