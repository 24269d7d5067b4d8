// The client's certificate as RFC 9440 forwards it, for nginx.conf's js_set: a Byte Sequence, which is the base64 of PEM
// between colons. Empty, so that nginx sends no field, where there is no certificate or it does not verify.
function field(r) {
	if (r.variables.ssl_client_verify !== 'SUCCESS') {
		return '';
	}
	const base64 = r.variables.ssl_client_raw_cert.replace(/-----[A-Z ]+-----|\s/g, '');
	return ':' + base64 + ':';
}

export default { field };
