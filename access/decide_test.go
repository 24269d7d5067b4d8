package access_test

import (
	"errors"
	"testing"

	"userinfo/access"
)

func identify(t testing.TB, p *access.Policy, e access.Credentials) access.Identity {
	t.Helper()
	id, err := p.Authenticate(e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheZeroValuesAreDeniedEverywhere(t *testing.T) {
	for _, grant := range []access.Grant{"", "sessions:get", "metrics:get"} {
		for _, key := range []access.Key{"", "enwiki:1", "*"} {
			if c, err := access.Authorize(access.Identity{}, grant, key); !errors.Is(err, access.ErrDenied) || c != (access.Caller{}) {
				t.Errorf("Authorize(nobody, %q, %q) = %v; want ErrDenied", grant, string(key), err)
			}
			if err := (access.Caller{}).Check(grant, key); !errors.Is(err, access.ErrDenied) {
				t.Errorf("zero Caller, Check(%q, %q) = %v; want ErrDenied", grant, string(key), err)
			}
		}
	}
	if name := (access.Identity{}).Client(); name != "" {
		t.Errorf("nobody is called %q", name)
	}
	if name := (access.Caller{}).Client(); name != "" {
		t.Errorf("the zero Caller is of client %q", name)
	}
}

func TestAClientMayDoWhatIsGrantedOnItsKeysAndNothingElse(t *testing.T) {
	sessions := []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"}
	others := []access.Grant{"metrics:get", "openapi:get", "other:get", "sessions:", "sessions", ":get", "sessions:list", "SESSIONS:GET", "*", "sessions:*", ""}
	keys := map[access.Key]bool{ // whether it is the client's
		"enwiki:1": true, "enwiki:": true, "enwiki:\x00\xff": true,
		"": false, "enwiki": false, "dewiki:1": false, " enwiki:1": false, "*": false, "ENWIKI:1": false,
	}
	for mask := range 1 << len(sessions) {
		var granted []access.Grant
		has := make(map[access.Grant]bool)
		for i, g := range sessions {
			if mask&(1<<i) != 0 {
				granted, has[g] = append(granted, g), true
			}
		}
		if mask == 0 {
			granted = []access.Grant{"metrics:get"} // a client with no grant does not load
			has["metrics:get"] = true
		}
		p := newPolicy(t, access.Client{
			Name: "c", Tokens: []access.TokenRule{{SHA256: opsToken.HashText()}}, Grants: granted, Keys: []string{"enwiki:*"},
		})
		id := identify(t, p, access.Credentials{Authorization: bearer(opsToken)})
		for _, grant := range append(sessions, others...) {
			for key, mine := range keys {
				want := has[grant] && (mine || grant == "metrics:get")
				c, err := access.Authorize(id, grant, key)
				if (err == nil) != want || !want && (!errors.Is(err, access.ErrDenied) || c != access.Caller{}) {
					t.Fatalf("granted %v: Authorize(%q, %q) = %v; want it allowed: %v", granted, grant, string(key), err, want)
				}
			}
		}
	}
}

func TestACallerIsGoodForOneGrantOnOneKey(t *testing.T) {
	p := newPolicy(t, clients()...)
	id := identify(t, p, access.Credentials{Certificate: cert("wiki"), ClientCAs: theCA})
	c, err := access.Authorize(id, "sessions:get", "enwiki:1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Client() != "wiki" {
		t.Errorf("the caller is %q", c.Client())
	}
	if err := c.Check("sessions:get", "enwiki:1"); err != nil {
		t.Errorf("its own grant and key: %v", err)
	}
	for _, other := range []struct {
		grant access.Grant
		key   access.Key
	}{
		{"sessions:set", "enwiki:1"}, {"sessions:get", "enwiki:2"}, {"sessions:get", ""}, {"", "enwiki:1"}, {"other:get", "enwiki:1"},
	} {
		if err := c.Check(other.grant, other.key); !errors.Is(err, access.ErrDenied) {
			t.Errorf("Check(%q, %q) = %v; want ErrDenied", other.grant, string(other.key), err)
		}
	}
}

func TestAGrantWithoutKeysNeedsNone(t *testing.T) {
	p := newPolicy(t, clients()...)
	id := identify(t, p, access.Credentials{Certificate: cert("ops"), ClientCAs: theCA})
	for _, resource := range []string{access.Metrics, access.OpenAPI} {
		grant := access.GrantOn(resource, access.Get)
		c, err := access.Authorize(id, grant, "")
		if err != nil || c.Check(grant, "") != nil {
			t.Errorf("%s: %v", grant, err)
		}
	}
	if _, err := access.Authorize(id, "sessions:get", "enwiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("ops read a session: %v", err)
	}
}

func TestAClientOfSeveralCertificatesHasTheSpaceOfTheOneItShows(t *testing.T) {
	p := newPolicy(t, access.Client{
		Name:         "farm",
		Certificates: []access.CertificateName{{CN: "enwiki"}, {CN: "dewiki"}, {SAN: "farm.example"}},
		Grants:       []access.Grant{"sessions:get"},
		Keys:         []string{"{cn}:*"},
	})
	for _, test := range []struct {
		cn   string
		key  access.Key
		want bool
	}{
		{"enwiki", "enwiki:1", true},
		{"enwiki", "dewiki:1", false},
		{"dewiki", "dewiki:1", true},
		{"", ":1", false},           // known by its SAN: there is no name to stand in
		{"*", "enwiki:1", false},    // a star in a name is a star
		{"*", "*:1", true},          //
		{"{cn}", "{cn}:1", true},    // nor is a name expanded twice
		{"{cn}", "enwiki:1", false}, //
	} {
		id := identify(t, p, access.Credentials{Certificate: cert(test.cn, dns("farm.example")), ClientCAs: theCA})
		if _, err := access.Authorize(id, "sessions:get", test.key); (err == nil) != test.want {
			t.Errorf("common name %q, key %q: %v; want it allowed: %v", test.cn, string(test.key), err, test.want)
		}
	}
}
