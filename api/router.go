package api

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"userinfo/access"
)

// Labels of requests without a route, in metrics and logs. Clients must not be able to create new metric series, so the
// method and the path that they sent are not used.
const (
	unknownMethod = "other"
	unknownPath   = "unmatched"
)

// keySuffix ends the path of a route to a key.
const keySuffix = "/:key"

// route is one method on one path.
type route struct {
	method  string // the label in metrics and logs
	path    string // the label in metrics and logs
	health  bool   // never refused because of overload or a client's limits
	handler handler
}

// keyed reports whether the last segment of the route's path is a key.
func (rt *route) keyed() bool { return strings.HasSuffix(rt.path, keySuffix) }

// handler handles one request. If it returns an error, the caller sends the response for it.
type handler func(*requestState) error

// routes returns the routes of a.
func (a *API) routes() []*route {
	metricsHandler := promhttp.HandlerFor(a.config.Registry, promhttp.HandlerOpts{
		// A collector that fails must neither hide the other metrics nor show its error to the client.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(a.config.Log.Handler(), slog.LevelError),
	})
	all := []*route{
		{method: http.MethodGet, path: "/healthz", health: true, handler: healthHandler(a.alive)},
		{method: http.MethodGet, path: "/readyz", health: true, handler: healthHandler(a.ready)},
		{method: http.MethodGet, path: "/metrics", handler: operatorHandler(access.Metrics, metricsHandler)},
		{method: http.MethodGet, path: "/openapi", handler: operatorHandler(access.OpenAPI, http.HandlerFunc(serveDescription))},
	}
	for _, config := range a.config.Collections {
		c := newCollection(config)
		path := config.Path + keySuffix
		all = append(all,
			&route{method: http.MethodGet, path: path, handler: c.get},
			&route{method: http.MethodPut, path: path, handler: c.set},
			&route{method: http.MethodPost, path: path, handler: c.set},
			&route{method: http.MethodPatch, path: path, handler: c.touch},
			&route{method: http.MethodDelete, path: path, handler: c.delete})
	}
	return all
}

// router finds the route of a request. It compares paths as they were sent: it does not decode, clean or redirect.
type router struct {
	resources map[string]*resource // by the whole path, or by the path of the collection
	notFound  *route
}

// resource holds the routes that share a path.
type resource struct {
	keyed            bool // the path of a collection, which is followed by a slash and a key
	methods          map[string]*route
	methodNotAllowed *route
}

func newRouter(routes []*route) *router {
	t := &router{
		resources: make(map[string]*resource),
		notFound:  unknownRoute(func(*requestState) error { return errNoResource }),
	}
	allow := make(map[string][]string)
	for _, rt := range routes {
		path := strings.TrimSuffix(rt.path, keySuffix)
		if t.resources[path] == nil {
			t.resources[path] = &resource{keyed: rt.keyed(), methods: make(map[string]*route)}
		}
		t.resources[path].methods[rt.method] = rt
		allow[path] = append(allow[path], rt.method)
	}
	for path, res := range t.resources {
		methods := strings.Join(allow[path], ", ")
		res.methodNotAllowed = unknownRoute(func(rs *requestState) error {
			rs.w.Header().Set("Allow", methods)
			return errMethodNotAllowed
		})
	}
	return t
}

func unknownRoute(h handler) *route {
	return &route{method: unknownMethod, path: unknownPath, handler: h}
}

// find returns the route of a request and, if the route has a key, the path segment with the key, still
// percent-encoded. If there is no route, find returns a route that refuses the request.
func (t *router) find(method, path string) (rt *route, segment string) {
	res := t.resources[path]
	if res != nil && res.keyed {
		res = nil // the path of a collection, without a key
	}
	if slash := strings.LastIndexByte(path, '/'); res == nil && slash >= 0 && slash+1 < len(path) {
		if res = t.resources[path[:slash]]; res != nil && !res.keyed {
			res = nil // a path below a resource that has no keys
		}
		segment = path[slash+1:]
	}
	if res == nil {
		return t.notFound, ""
	}
	if rt := res.methods[method]; rt != nil {
		return rt, segment
	}
	return res.methodNotAllowed, ""
}

// healthHandler returns a handler that calls h for clients that may see the health resources. If these are open to
// anybody, the request is not authenticated: wrong credentials must not make an instance look unhealthy.
func healthHandler(h handler) handler {
	return func(rs *requestState) error {
		if rs.rules.Policy.IsOpen(access.Health) {
			return h(rs)
		}
		if err := rs.authenticate(access.Health); err != nil {
			return err
		}
		return h(rs)
	}
}

// operatorHandler returns a handler that calls next for clients with the grant name:get.
func operatorHandler(name string, next http.Handler) handler {
	grant := access.GrantOn(name, access.Get)
	return func(rs *requestState) error {
		if err := rs.enter(name); err != nil {
			return err
		}
		if _, err := access.Authorize(rs.identity, grant, ""); err != nil {
			return err
		}
		rs.authorized = true
		rs.status = http.StatusOK
		next.ServeHTTP(rs.w, rs.r)
		return nil
	}
}
