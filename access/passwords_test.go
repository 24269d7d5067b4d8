package access

import (
	"errors"
	"testing"
	"time"
)

// passwordRules lets client web, which is in no group, verify passwords of enwiki.
func passwordRules() PolicyConfig {
	return PolicyConfig{
		Clients: []Client{{
			Name: "web", Tokens: []TokenRule{{SHA256: Token("a-token-of-this-test").HashText()}},
			Grants: []Grant{"passwords:verify"}, Keys: []string{"enwiki:*"},
		}},
		Audiences: Audiences{Passwords: {{Token: new(true)}}}, Passwords: true, Now: time.Now,
	}
}

func TestAuthorize_PasswordsNeedGrantAndPattern(t *testing.T) {
	p, err := NewPolicy(passwordRules())
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.Authenticate(Credentials{Authorization: []string{"Bearer a-token-of-this-test"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Authorize(id, "passwords:verify", "enwiki:Alice")
	if err != nil || c.Check("passwords:verify", "enwiki:Alice") != nil {
		t.Errorf("a client with the grant is refused: %v", err)
	}
	for _, action := range PasswordActions {
		if action != Verify && c.Check(GrantOn(Passwords, action), "enwiki:Alice") == nil {
			t.Errorf("a Caller for verify is good for %s", action)
		}
	}
	for name, request := range map[string]struct {
		grant Grant
		user  Key
	}{
		"another action": {"passwords:reset", "enwiki:Alice"}, "another wiki": {"passwords:verify", "dewiki:Alice"}, "no user": {"passwords:verify", ""},
		"no such action": {"passwords:get", "enwiki:Alice"},
	} {
		if _, err := Authorize(id, request.grant, request.user); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: error %v, want %v", name, err, ErrDenied)
		}
	}
	if got := p.Permissions(); len(got) != 1 || len(got[0].Actions) != 1 || got[0].Actions[0] != Verify || len(got[0].Keys) != 1 {
		t.Errorf("the permissions are %+v", got)
	}
}

func TestPolicy_PasswordsExistOnlyIfConfigured(t *testing.T) {
	rules := passwordRules()
	rules.Passwords = false
	if _, err := NewPolicy(rules); err == nil {
		t.Error("a grant and an audience of passwords are accepted without passwords")
	}
}

func TestPolicy_PasswordsNeedClient(t *testing.T) {
	for name, alternative := range map[string]Alternative{"a network": {Network: []string{"10.0.0.0/8"}}, "everybody": {Allow: new(true)}} {
		rules := passwordRules()
		rules.Audiences = Audiences{Passwords: {alternative}}
		if _, err := NewPolicy(rules); err == nil {
			t.Errorf("%s is enough for passwords", name)
		}
	}
	rules := passwordRules()
	rules.Clients[0].Keys = nil
	if _, err := NewPolicy(rules); err == nil {
		t.Error("a grant on passwords needs no patterns of user names")
	}
}
