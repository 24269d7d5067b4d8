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

// label is what our signatures are called. It means nothing and is not signed.
const label = "userinfo"

// nonceBytes of randomness make it hopeless to wait for the same nonce twice.
const nonceBytes = 16

// Signer signs requests as the service wants them:
//
//	key, err := signature.ParseSigningKey("wiki-1", fileContent)
//	client := &http.Client{Transport: &signature.Transport{Signer: signature.Signer{Key: key}}}
//
// It may be copied, and is safe for concurrent use if Random is.
type Signer struct {
	Key    SigningKey
	Now    func() time.Time // nil is time.Now
	Random io.Reader        // of nonces; nil is crypto/rand's
}

// Sign adds Signature-Input and Signature to r, and Content-Digest where there is a body, in the place of any that are
// there. It covers the method, the authority, the whole URI as net/http sends it, a TTL header that is there, and body,
// which must be all that r.Body will give; it does not read r.Body. Call it when all else of r is done, and for each
// sending anew: a signature is good once, and for a minute.
//
// Its errors say what to change of r or the key, and nothing of them.
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

// requestOf is what the service will see of r. Its Header is a copy.
func requestOf(r *http.Request, body []byte) (Request, error) {
	if r.URL == nil || r.URL.Scheme != "https" {
		return Request{}, errors.New("the URL to sign does not begin with https://, and the service speaks nothing else")
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

// Transport signs each request and has another transport send it. It reads a body into memory to do so.
//
// net/http's transport may send a request again, with the same signature, where a kept connection broke before an
// answer; if the service had seen it the first time it answers 401, and signing anew is what helps.
type Transport struct {
	Signer Signer
	Base   http.RoundTripper // nil is http.DefaultTransport
}

// RoundTrip is http.RoundTripper's. It leaves r as it is, but for its body, which is read and closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, fmt.Errorf("reading the body to sign it: %w", err)
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
