package api

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"userinfo/access"
)

// Labels of requests without a route, in metrics and logs. Clients must not be able to create new metric series, so the
// method and the path that they sent are not used.
const (
	unknownMethod = "other"
	unknownPath   = "unmatched"
)

// keySuffix ends the path of a route to a key. The path of a password may go on after it.
const keySuffix = "/:key"

// route is one method on one path.
type route struct {
	method    string // the label in metrics and logs
	path      string // the label in metrics and logs
	health    bool   // never refused because of overload or a client's limits
	passwords bool   // about a password
	handler   handler
}

// keyed reports whether a segment of the route's path is a key or a user name.
func (rt *route) keyed() bool { return strings.Contains(rt.path, keySuffix) }

// handler handles one request. If it returns an error, the caller sends the response for it.
type handler func(*requestState) error

// routes returns the routes of a.
func (a *API) routes() []*route {
	metricsHandler := promhttp.HandlerFor(a.config.Registry, promhttp.HandlerOpts{
		// A collector that fails must neither hide the other metrics nor show its error to the client.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(a.config.Log.Handler(), slog.LevelError),
	})
	operator := []*route{
		{method: http.MethodGet, path: "/healthz", health: true, handler: healthHandler(a.alive)},
		{method: http.MethodGet, path: "/readyz", health: true, handler: healthHandler(a.ready)},
		{method: http.MethodGet, path: "/metrics", handler: operatorHandler(access.Metrics, metricsHandler)},
		{method: http.MethodGet, path: "/openapi", handler: operatorHandler(access.OpenAPI, http.HandlerFunc(serveDescription))},
		{method: http.MethodGet, path: rewrittenKeysPath, handler: operatorHandler(access.Operators, http.HandlerFunc(a.serveRewrittenKeys))},
	}
	var all []*route
	for _, rt := range operator {
		head := *rt // probes and wget --spider use HEAD; net/http sends the headers and drops the body
		head.method = http.MethodHead
		all = append(all, rt, &head)
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
	return append(all, a.passwordRoutes()...)
}

// newRouter returns a router for the routes of a. It matches URL.Path, which ServeHTTP sets to the path as it was sent. It does
// not clean paths and never redirects.
func (a *API) newRouter() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	router.HandleOPTIONS = false
	router.HandleMethodNotAllowed = false // httprouter's Allow would contain OPTIONS
	for _, rt := range a.routes() {
		router.Handle(rt.method, rt.path, func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
			a.serve(rt, params.ByName("key"), w, r)
		})
	}
	unknown := &route{method: unknownMethod, path: unknownPath, handler: func(rs *requestState) error {
		methods := allowedMethods(router, rs.r.URL.Path)
		if methods == "" {
			return errNoResource
		}
		rs.w.Header().Set("Allow", methods)
		return errMethodNotAllowed
	}}
	router.NotFound = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(unknown, "", w, r) })
	return router
}

// allowedMethods returns the methods of the resource with this path, or "" if there is no such resource.
func allowedMethods(router *httprouter.Router, path string) string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if h, _, _ := router.Lookup(method, path); h != nil {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
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
		err := rs.enter(name)
		if err == nil {
			_, err = access.Authorize(rs.identity, grant, "")
		}
		rs.traceAccess(name, access.Get, err)
		if err != nil {
			return err
		}
		rs.authorized = true
		rs.status = http.StatusOK
		rs.w.Header().Set(requestIDHeader, rs.requestID())
		rs.beginResponse()
		next.ServeHTTP(rs.w, rs.r)
		return nil
	}
}
