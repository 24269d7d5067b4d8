package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"userinfo/access"
	"userinfo/access/signature"
)

// checkAuthority decides whether the request is for this service. It fails closed: see requestAuthority and
// access.Authorities.Check.
func (rs *requestState) checkAuthority() error {
	sent, err := requestAuthority(rs.r)
	if err != nil {
		return err
	}
	return rs.rules.Authorities.Check(sent, localAddr(rs.r), signature.HasSignature(rs.r.Header))
}

// requestAuthority returns the authority of the request: the Host header or, in HTTP/2, :authority. It fails closed: if it
// is missing or is not a host with an optional port, or if two were sent that differ, it returns errAuthority.
//
// net/http has refused two Host headers over HTTP/1.1. Over HTTP/2 it neither checks :authority nor compares it with a Host
// header (RFC 9113, section 8.3.1).
func requestAuthority(r *http.Request) (access.Authority, error) {
	sent, err := access.ParseAuthority(r.Host)
	hosts := r.Header["Host"] // only over HTTP/2
	if err != nil || len(hosts) > 1 || len(hosts) == 1 && !strings.EqualFold(hosts[0], r.Host) || r.URL.User != nil {
		return access.Authority{}, errAuthority
	}
	return sent, nil
}

// localAddr returns the address at which the service accepted the connection of the request, ignoring the PROXY protocol. If
// the address is unknown, it returns the zero AddrPort.
func localAddr(r *http.Request) netip.AddrPort {
	if tcp, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
