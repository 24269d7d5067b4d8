<?php

namespace MediaWiki\Extension\UserInfo;

/** The answer to one request. */
class Response {
	/** HTTP status; 0: there was no answer, and detail says why */
	public int $status = 0;
	public string $body = '';
	/** Whether the instance may have the request */
	public bool $sent = false;
	/** The seconds that the value has left; 0 if the response does not say */
	public int $ttl = 0;
	/** The seconds to wait before the next request; 0 if the response does not say */
	public int $retryAfter = 0;
	/** The name of the problem, such as not-everywhere; empty if there is no problem document */
	public string $problem = '';
	public string $detail = '';
	/** The id under which the service's log has the request */
	public string $requestId = '';
	/** Host and port */
	public string $endpoint;

	private const PROBLEM_PREFIX = 'urn:userinfo:problem:';
	/** The problems after which nothing was done */
	private const NOT_BEGUN = [ 'overloaded', 'not-ready', 'audit-unavailable' ];

	public function __construct( string $endpoint ) {
		$this->endpoint = $endpoint;
	}

	public function isSuccess(): bool {
		return in_array( $this->status, [ 200, 201, 204 ], true );
	}

	/** Reports whether the service has no value. It is false for a 404 because of a wrong URL. */
	public function isMissing(): bool {
		return $this->status === 404 && $this->problem === 'not-found';
	}

	/**
	 * Reports whether another instance should be asked. Every request of a cache may be repeated. After not-everywhere, another
	 * instance would answer the same.
	 */
	public function isWorthRetry(): bool {
		return in_array( $this->status, [ 0, 502, 503, 504 ], true ) && $this->problem !== 'not-everywhere';
	}

	/**
	 * Reports whether the request may have been carried out although the answer is no success. It fails closed: true if
	 * in doubt.
	 */
	public function mayBeDone(): bool {
		return $this->sent && ( $this->status === 0 || $this->status >= 500 ) && !in_array( $this->problem, self::NOT_BEGUN, true );
	}

	/** Reports whether the next requests should try another instance first. */
	public function isDead(): bool {
		return $this->status === 0 || $this->status === 502 || $this->problem === 'not-ready';
	}

	/** Reads one line of the response's header. */
	public function readHeader( string $line ): void {
		[ $name, $value ] = array_map( 'trim', explode( ':', $line, 2 ) + [ '', '' ] );
		switch ( strtolower( $name ) ) {
			case 'ttl':
				$this->ttl = (int)$value;
				break;
			case 'retry-after':
				$this->retryAfter = (int)$value;
				break;
			case 'x-request-id':
				$this->requestId = $value;
				break;
		}
	}

	/** Reads the problem document (RFC 9457) in the body, if there is one. */
	public function readProblem(): void {
		$document = json_decode( $this->body, true );
		if ( !is_array( $document ) ) {
			return;
		}
		$type = $document['type'] ?? '';
		if ( is_string( $type ) && strpos( $type, self::PROBLEM_PREFIX ) === 0 ) {
			$this->problem = substr( $type, strlen( self::PROBLEM_PREFIX ) );
			$this->detail = is_string( $document['detail'] ?? null ) ? $document['detail'] : '';
		}
	}
}
