// Returns the client's certificate in the form of RFC 9440, for js_set in nginx.conf: a Byte Sequence, that is, the base64
// text of the PEM certificate between colons. Returns an empty string, with which nginx sends no header, if the client has
// no valid certificate.
function field(r) {
	if (r.variables.ssl_client_verify !== 'SUCCESS') {
		return '';
	}
	const base64 = r.variables.ssl_client_raw_cert.replace(/-----[A-Z ]+-----|\s/g, '');
	return ':' + base64 + ':';
}

export default { field };
