package api

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"userinfo/access"
)

// route is a method on a path, as metrics and logs name it.
type route struct {
	method  string
	path    string
	keyed   bool // the path ends with a key
	health  bool // never shed, nor bounded for any client
	handler handler
}

// otherMethod stands for whatever method no route has, lest a client choose what metrics are called.
const otherMethod = "other"

// unmatched stands for the paths that are no route's.
const unmatched = "unmatched"

// table lists the routes.
func (a *API) table() []route {
	all := []route{
		{method: http.MethodGet, path: "/healthz", health: true, handler: healthy(a.alive)},
		{method: http.MethodGet, path: "/readyz", health: true, handler: healthy(a.ready)},
		{method: http.MethodGet, path: "/metrics", handler: a.guarded(access.Metrics,
			promhttp.HandlerFor(a.config.Registry, promhttp.HandlerOpts{
				// One broken collector must not hide the others, nor its error reach the client.
				ErrorHandling: promhttp.ContinueOnError,
				ErrorLog:      slog.NewLogLogger(a.config.Log.Handler(), slog.LevelError),
			}))},
		{method: http.MethodGet, path: "/openapi", handler: a.guarded(access.OpenAPI, http.HandlerFunc(serveDescription))},
	}
	for i := range a.config.Collections {
		c := &a.config.Collections[i]
		path := c.Path + "/:key"
		c.grants = make(map[access.Action]access.Grant)
		for _, action := range []access.Action{access.Get, access.Set, access.Touch, access.Delete} {
			c.grants[action] = access.GrantOn(c.Name, action)
		}
		all = append(all,
			route{method: http.MethodGet, path: path, keyed: true, handler: c.get},
			route{method: http.MethodPut, path: path, keyed: true, handler: c.set},
			route{method: http.MethodPost, path: path, keyed: true, handler: c.set},
			route{method: http.MethodPatch, path: path, keyed: true, handler: c.touch},
			route{method: http.MethodDelete, path: path, keyed: true, handler: c.delete})
	}
	return all
}

func (a *API) routes() *httprouter.Router {
	r := httprouter.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	r.HandleMethodNotAllowed = false // its Allow has OPTIONS, and stays in whatever the answer becomes
	for _, rt := range a.table() {
		r.Handle(rt.method, rt.path, a.handle(rt))
	}
	r.NotFound = plain(a.handle(route{method: otherMethod, path: unmatched, handler: func(x *exchange) error {
		methods := allowed(r, x.r.URL.Path)
		if methods == "" {
			return errNoRoute
		}
		x.w.Header().Set("Allow", methods)
		return errMethod
	}}))
	return r
}

// allowed lists the methods of a path; none where there is no such path.
func allowed(r *httprouter.Router, path string) string {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if h, _, _ := r.Lookup(m, path); h != nil {
			methods = append(methods, m)
		}
	}
	return strings.Join(methods, ", ")
}

func plain(h httprouter.Handle) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, nil) })
}

// healthy runs h for those whom the audience health lets in. Where that is anybody, credentials do not matter: whoever asks
// is told, though a token of theirs should be wrong.
func healthy(h handler) handler {
	return func(x *exchange) error {
		if x.rules.Policy.IsOpen(access.Health) {
			return h(x)
		}
		if err := x.admit(access.Health); err != nil {
			return err
		}
		return h(x)
	}
}

// guarded serves next to clients with the grant resource:get.
func (a *API) guarded(resource string, next http.Handler) handler {
	grant := access.GrantOn(resource, access.Get)
	return func(x *exchange) error {
		if err := x.enter(resource); err != nil {
			return err
		}
		if _, err := access.Authorize(x.identity, grant, ""); err != nil {
			return err
		}
		x.allowed = true
		x.status = http.StatusOK
		next.ServeHTTP(x.w, x.r)
		return nil
	}
}
