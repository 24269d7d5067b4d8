<?php

namespace MediaWiki\Extension\UserInfo;

use InvalidArgumentException;
use Psr\Log\LoggerInterface;

/**
 * Keeps values in the service UserInfo. It is meant for sessions, and for other data that few keys belong to.
 *
 *   $wgObjectCaches['userinfo'] = [
 *       'class' => \MediaWiki\Extension\UserInfo\UserInfoBagOStuff::class,
 *       'url' => [ 'https://userinfo1.example:8443/sessions/v1/', 'https://userinfo2.example:8443/sessions/v1/' ],
 *       'tokenFile' => '/etc/mediawiki/userinfo.token',
 *       'serialization_type' => 'JSON',
 *       'hmac_key' => $mySecret,
 *   ];
 *   $wgSessionCacheType = 'userinfo';
 *
 * Keys and values are the same as those of MediaWiki's RESTBagOStuff with the same url, serialization_type and hmac_key. So
 * a wiki can change from one class to the other while its users stay logged in.
 *
 * get, set, delete and changeTTL are one request each. add, merge, incr and lock are not atomic: they read and then write.
 */
class UserInfoBagOStuff extends ParentBagOStuff {
	/** No session had to be deleted, or the sessions are gone everywhere. See getDeleteState(). */
	public const DELETED = 0;
	/** A session is gone in this datacentre. The service will delete it in the other datacentres. */
	public const NOT_EVERYWHERE = 1;
	/** A session may still exist. */
	public const DELETE_FAILED = 2;

	/** A part of the keys of MediaWiki's sessions. */
	private const SESSION_KEYGROUP = ':MWSession:';

	private static int $deleteState = self::DELETED;

	private HttpClient $client;
	private string $serializationType;
	private string $hmacKey;
	private int $maxTTL;
	/** @var object|null MediaWiki's Telemetry, since 1.43 */
	private $telemetry;

	/**
	 * @param array $params
	 *  - url: string|string[], the URL of the collection, of one or several instances. They are tried in this order.
	 *  - serialization_type: "PHP" (default) or "JSON"
	 *  - hmac_key: signs the values; default: they are not signed
	 *  - maxTTL: the collection's max_ttl in seconds, default one day. It is also the TTL of values without expiry.
	 *  - caBundlePath, certFile, keyFile, tokenFile, signatureKeyFile, signatureKeyId, connTimeout, reqTimeout: see HttpClient
	 *  - the parameters of BagOStuff
	 */
	public function __construct( array $params ) {
		if ( isset( $params['httpParams'] ) ) {
			throw new InvalidArgumentException( 'UserInfo: remove httpParams; put the bearer token into a file and name it with tokenFile' );
		}
		$this->serializationType = $params['serialization_type'] ?? 'PHP';
		if ( !in_array( $this->serializationType, [ 'JSON', 'PHP' ], true ) ) {
			throw new InvalidArgumentException( 'UserInfo: serialization_type must be JSON or PHP' );
		}
		$this->hmacKey = $params['hmac_key'] ?? '';
		$this->maxTTL = $params['maxTTL'] ?? self::TTL_DAY;
		$this->telemetry = $params['telemetry'] ?? null;
		$this->client = new HttpClient( $params );
		parent::__construct( $params + [ 'segmentationSize' => INF ] );
		$this->attrMap[self::ATTR_DURABILITY] = self::QOS_DURABILITY_DISK;
	}

	/**
	 * Returns what became of the sessions that this PHP request has deleted, in all caches of this class. The worst counts.
	 */
	public static function getDeleteState(): int {
		return self::$deleteState;
	}

	/** Makes sure that no message of a parent class shows a session key. */
	public function setLogger( LoggerInterface $logger ): void {
		parent::setLogger( new KeyHidingLogger( $logger ) );
	}

	/** Returns the key that RESTBagOStuff of this version of MediaWiki makes. */
	public function makeKeyInternal( $keyspace, $components ) {
		return method_exists( $this, 'genericKeyFromComponents' )
			? $this->genericKeyFromComponents( $keyspace, ...$components ) // 1.39, where the parent's method is abstract
			: parent::makeKeyInternal( $keyspace, $components );
	}

	/** @inheritDoc */
	protected function doGet( $key, $flags = 0, &$casToken = null ) {
		$getToken = $casToken === self::PASS_BY_REF;
		$casToken = null;
		$response = $this->fetch( $key );
		$value = $response ? $this->decode( $response->body ) : false;
		if ( $getToken && $value !== false ) {
			$casToken = $response->body;
		}
		return $value;
	}

	/** @inheritDoc */
	protected function doSet( $key, $value, $exptime = 0, $flags = 0 ) {
		return $this->store( $key, $value, $this->ttl( $exptime ) );
	}

	/** @inheritDoc */
	protected function doDelete( $key, $flags = 0 ) {
		$response = $this->send( 'DELETE', $key );
		$this->updateOpStats( self::METRIC_OP_DELETE, [ $key ] );
		if ( $response->isSuccess() ) {
			return true;
		}
		if ( $response->problem === 'not-everywhere' ) {
			self::noteDelete( $key, self::NOT_EVERYWHERE );
			$this->log( 'warning', 'deleted in this datacentre, and not yet in the others; the service will do it', 'DELETE', $response );
			return true;
		}
		self::noteDelete( $key, self::DELETE_FAILED );
		return $this->fail( 'DELETE', $response );
	}

	private static function noteDelete( $key, int $state ): void {
		if ( strpos( $key, self::SESSION_KEYGROUP ) !== false ) {
			self::$deleteState = max( self::$deleteState, $state );
		}
	}

	/** Touches the key. No value is read or written. @inheritDoc */
	protected function doChangeTTL( $key, $exptime, $flags ) {
		$expiry = $this->getExpirationAsTimestamp( $exptime );
		$expired = $expiry != self::TTL_INDEFINITE && $expiry < $this->getCurrentTime();
		// The touch also tells whether the key exists, which a delete does not.
		$response = $this->send( 'PATCH', $key, $expired ? 1 : $this->ttl( $exptime ) );
		$this->updateOpStats( self::METRIC_OP_CHANGE_TTL, [ $key ] );
		if ( $response->isMissing() ) {
			return false;
		}
		if ( !$response->isSuccess() ) {
			return $this->fail( 'PATCH', $response );
		}
		return !$expired || $this->doDelete( $key, $flags );
	}

	/** @inheritDoc */
	protected function doAdd( $key, $value, $exptime = 0, $flags = 0 ) {
		$before = $this->watchErrors();
		$exists = $this->doGet( $key ) !== false;
		return !$exists && !$this->getLastError( $before ) && $this->doSet( $key, $value, $exptime );
	}

	/** Unlike the parent's method, it needs no lock: the lock is not atomic either, and costs four requests. @inheritDoc */
	protected function doCas( $casToken, $key, $value, $exptime = 0, $flags = 0 ) {
		$current = self::PASS_BY_REF;
		$this->doGet( $key, self::READ_LATEST, $current );
		return $current !== null && $current === $casToken && $this->doSet( $key, $value, $exptime );
	}

	/** Needed by MediaWiki 1.39. */
	public function incr( $key, $value = 1, $flags = 0 ) {
		return $this->increase( $key, (int)$value );
	}

	/** Needed by MediaWiki 1.39. */
	public function decr( $key, $value = 1, $flags = 0 ) {
		return $this->increase( $key, -(int)$value );
	}

	/** @inheritDoc */
	protected function doIncrWithInit( $key, $exptime, $step, $init, $flags ) {
		$before = $this->watchErrors();
		if ( $this->doGet( $key ) !== false ) {
			return $this->increase( $key, $step );
		}
		return !$this->getLastError( $before ) && $this->doSet( $key, $init, $exptime ) ? $init : false;
	}

	/** Adds step to the integer under the key and keeps its TTL. Returns false if there is no integer. */
	private function increase( $key, int $step ) {
		$response = $this->fetch( $key );
		$value = $response ? $this->decode( $response->body ) : false;
		if ( !$this->isInteger( $value ) ) {
			return false;
		}
		$sum = max( $value + $step, 0 );
		return $this->store( $key, $sum, max( $response->ttl, 1 ) ) ? $sum : false;
	}

	/** Returns the response with the value, or null if there is no value or no answer. */
	private function fetch( $key ): ?Response {
		$response = $this->send( 'GET', $key );
		$found = $response->isSuccess();
		$this->updateOpStats( self::METRIC_OP_GET, [ $key => [ 0, $found ? strlen( $response->body ) : false ] ] );
		if ( !$found && !$response->isMissing() ) {
			$this->fail( 'GET', $response );
		}
		return $found ? $response : null;
	}

	private function store( $key, $value, int $ttl ): bool {
		$body = $this->encode( $value );
		$response = $this->send( 'PUT', $key, $ttl, $body );
		$this->updateOpStats( self::METRIC_OP_SET, [ $key => [ strlen( $body ), 0 ] ] );
		return $response->isSuccess() || $this->fail( 'PUT', $response );
	}

	private function send(
		string $method,
		$key,
		?int $ttl = null,
		#[\SensitiveParameter]
		?string $body = null
	): Response {
		$headers = $this->telemetryHeaders();
		if ( $ttl !== null ) {
			$headers['TTL'] = (string)$ttl;
		}
		return $this->client->send( $method, rawurlencode( $key ), $headers, $body );
	}

	/** Returns X-Request-Id and, since 1.43, traceparent of the page view. The service uses a request id that is a UUID. */
	private function telemetryHeaders(): array {
		if ( $this->telemetry ) {
			return $this->telemetry->getRequestHeaders();
		}
		return defined( 'MEDIAWIKI' ) && class_exists( \WebRequest::class )
			? [ 'X-Request-Id' => \WebRequest::getRequestId() ] // 1.39
			: [];
	}

	/** Returns the TTL in seconds for an expiry: 0 (none), a number of seconds, or a UNIX timestamp. */
	private function ttl( $exptime ): int {
		$ttl = (int)$this->getExpirationAsTTL( $exptime );
		return $ttl === self::TTL_INDEFINITE ? $this->maxTTL : max( 1, min( $ttl, $this->maxTTL ) );
	}

	/** Returns TYPE.HMAC.DATA, the form of RESTBagOStuff. */
	private function encode( $value ): string {
		$data = $this->serializationType === 'JSON' ? json_encode( $value ) : serialize( $value );
		if ( $data === false ) {
			throw new InvalidArgumentException( 'UserInfo: the value cannot be written as JSON: ' . json_last_error_msg() );
		}
		return "$this->serializationType.{$this->hmac( $data )}.$data";
	}

	/** Returns the value in TYPE.HMAC.DATA. Fails closed: it returns false for another type and for a wrong HMAC. */
	private function decode(
		#[\SensitiveParameter]
		string $body
	) {
		[ $type, $hmac, $data ] = explode( '.', $body, 3 ) + [ '', '', '' ];
		if ( $type !== $this->serializationType || ( $this->hmacKey !== '' && !hash_equals( $this->hmac( $data ), $hmac ) ) ) {
			$this->logger->warning( 'UserInfo: a value does not have the serialization_type and hmac_key of this wiki; it counts as absent' );
			return false;
		}
		return $type === 'JSON' ? ( json_decode( $data, true ) ?? ( $data === 'null' ? null : false ) ) : unserialize( $data );
	}

	private function hmac( string $data ): string {
		return $this->hmacKey === '' ? '' : base64_encode( hash_hmac( 'sha256', $data, $this->hmacKey, true ) );
	}

	/** Logs the failure and returns false. */
	private function fail( string $method, Response $response ): bool {
		$this->log( 'error', 'failed', $method, $response );
		$this->setLastError( $response->status === 0 ? self::ERR_UNREACHABLE : self::ERR_UNEXPECTED );
		return false;
	}

	/** Logs what the service answered. A problem document does not contain the key. */
	private function log( string $level, string $outcome, string $method, Response $response ): void {
		$this->logger->log( $level, "UserInfo: {method} at {endpoint}: $outcome: {status} {problem} {detail}", [
			'method' => $method,
			'endpoint' => $response->endpoint,
			'status' => $response->status,
			'problem' => $response->problem,
			'detail' => $response->detail,
			'userinfo_request_id' => $response->requestId,
		] );
	}
}
