package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// DialFunc makes the Dialer of a kind of target that this package does not know.
type DialFunc func(kind string, settings json.RawMessage) (Dialer, error)

// reply is what a generator process says to each line it is told.
//
//	parent → child   {"Kind":"https","Settings":{…},"Workload":{…},…}    a Spec, once
//	child → parent   {}                                                  it is connected
//	parent → child   {"Number":0,"Mode":"open","Seconds":10,…}           a Round, any number of times
//	child → parent   {"Part":{…}}
//
// {"Error":"…"} in place of a reply is the last. The child ends in good order when its input does.
type reply struct {
	Error string `json:",omitempty"`
	Part  *Part  `json:",omitempty"`
}

// Generate is the whole life of a generator process. dial may be nil where there is HTTPS alone. It owns in, and may be
// reading it when it returns for ctx's sake.
func Generate(ctx context.Context, in io.Reader, out io.Writer, dial DialFunc) (err error) {
	say := json.NewEncoder(out)
	defer func() {
		if err != nil {
			err = errors.Join(err, say.Encode(reply{Error: err.Error()}))
		}
	}()
	lines := json.NewDecoder(in)
	lines.DisallowUnknownFields()
	var s Spec
	if err := lines.Decode(&s); err != nil {
		return fmt.Errorf("reading what to generate: %w", err)
	}
	g, err := generatorOf(s, dial)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if err := g.Connect(ctx); err != nil {
		return fmt.Errorf("connecting to the target: %w", err)
	}
	if err := say.Encode(reply{}); err != nil {
		return err
	}
	for {
		var r Round
		switch err := lines.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what the next round is: %w", err)
		}
		part, err := g.Round(ctx, r)
		if err != nil {
			return err
		}
		if err := say.Encode(reply{Part: part}); err != nil {
			return err
		}
	}
}

func generatorOf(s Spec, dial DialFunc) (*Generator, error) {
	d, err := dialerOf(s, dial)
	if err != nil {
		return nil, err
	}
	g, err := NewGenerator(d, s)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return g, nil
}

func dialerOf(s Spec, dial DialFunc) (Dialer, error) {
	if s.Kind != KindHTTPS {
		if dial == nil {
			return nil, fmt.Errorf("no kind of target is called %q", s.Kind)
		}
		return dial(s.Kind, s.Settings)
	}
	settings := json.NewDecoder(bytes.NewReader(s.Settings))
	settings.DisallowUnknownFields()
	var f HTTPSFiles
	if err := settings.Decode(&f); err != nil {
		return nil, fmt.Errorf("reading the settings of an HTTP session store: %w", err)
	}
	d, err := f.Dialer()
	if err != nil {
		return nil, err
	}
	if f.Fresh != s.Workload.Fresh {
		return nil, errors.Join(fmt.Errorf("the workload %q and the target disagree on whether each request has a new connection",
			s.Workload.Name), d.Close())
	}
	return d, nil
}
