package config

import (
	"errors"
	"fmt"

	"userinfo/internal/field"
)

// Warnings returns what is allowed in the configuration but should be changed, in the order of lines.
func (f *File) Warnings() []*Mistake {
	var errs []error
	for i, c := range f.Clients {
		for j, t := range c.Tokens {
			if !t.Generated {
				errs = append(errs, field.Errorf(fmt.Sprintf("clients[%d].tokens[%d]", i, j),
					"the hash does not tell whether the token is hard to guess; if `userinfo token new` made it, add generated: true, otherwise replace it by such a token"))
			}
		}
	}
	return f.mistakes(errors.Join(errs...))
}
