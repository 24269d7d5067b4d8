<?php

namespace MediaWiki\Extension\UserInfo;

use InvalidArgumentException;

/**
 * Signs requests (RFC 9421) with hmac-sha256, as the service expects it: the signature covers the method, the authority,
 * the URI, the TTL header and the body's digest (RFC 9530). Each signature is good once, so every attempt needs a new one.
 */
class RequestSigner {
	private const KEY_PREFIX = 'userinfo-signature-key-1:';
	private const NONCE_BYTES = 16;

	private string $key;
	private string $keyId;

	/**
	 * @param string $keyText What `userinfo key new signature` prints
	 * @param string $keyId The id of the key in the service's configuration
	 */
	public function __construct( string $keyText, string $keyId ) {
		$encoded = strpos( $keyText, self::KEY_PREFIX ) === 0 ? substr( $keyText, strlen( self::KEY_PREFIX ) ) : '';
		$key = base64_decode( $encoded, true );
		if ( $key === false || strlen( $key ) < 32 || strlen( $key ) > 128 ) {
			throw new InvalidArgumentException(
				'UserInfo: the file of signatureKeyFile has no signature key; make one with `userinfo key new signature`' );
		}
		if ( !preg_match( '/^[\x20-\x7e]{1,128}$/D', $keyId ) ) {
			throw new InvalidArgumentException( 'UserInfo: set signatureKeyId to the id of the key in the configuration of the service' );
		}
		$this->key = $key;
		$this->keyId = $keyId;
	}

	/** Returns the headers with those of a signature. */
	public function sign(
		string $method,
		string $url,
		array $headers,
		#[\SensitiveParameter]
		?string $body
	): array {
		[ , , $authority, $path ] = explode( '/', $url, 4 );
		$authority = preg_replace( '/:443$/', '', strtolower( $authority ) );
		$covered = [
			'@method' => $method,
			'@authority' => $authority,
			'@target-uri' => "https://$authority/$path",
		];
		if ( isset( $headers['TTL'] ) ) {
			$covered['ttl'] = $headers['TTL'];
		}
		if ( $body !== null ) {
			$headers['Content-Digest'] = 'sha-256=:' . base64_encode( hash( 'sha256', $body, true ) ) . ':';
			$covered['content-digest'] = $headers['Content-Digest'];
		}
		$parameters = '("' . implode( '" "', array_keys( $covered ) ) . '")'
			. ';created=' . time()
			. ';nonce="' . bin2hex( random_bytes( self::NONCE_BYTES ) ) . '"'
			. ';keyid="' . addcslashes( $this->keyId, '"\\' ) . '"'
			. ';alg="hmac-sha256"';
		$base = '';
		foreach ( $covered as $name => $value ) {
			$base .= "\"$name\": $value\n";
		}
		$base .= "\"@signature-params\": $parameters";
		$signature = base64_encode( hash_hmac( 'sha256', $base, $this->key, true ) );
		return [ 'Signature-Input' => "userinfo=$parameters", 'Signature' => "userinfo=:$signature:" ] + $headers;
	}
}
