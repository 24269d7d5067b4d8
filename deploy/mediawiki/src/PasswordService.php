<?php

namespace MediaWiki\Extension\UserInfo;

use InvalidArgumentException;
use MediaWiki\Logger\LoggerFactory;
use Psr\Log\LoggerInterface;

/**
 * Asks the service about passwords. docs/passwords.md describes the requests. Nothing that it logs contains a
 * password, a hash or a token.
 *
 * PHP leaves parameters that are marked as sensitive out of exceptions and their traces, since 8.2. In PHP 7.4, the
 * mark is a comment and must have a line of its own.
 */
class PasswordService {
	/** Uses local hashes never */
	public const NEVER = 'never';
	/** Uses a local hash if the service says that the password is wrong, or does not know the user */
	public const WRONG = 'wrong';
	/** The same, and also if the service cannot answer (PasswordResult::$isOutage) */
	public const UNAVAILABLE = 'unavailable';

	/** The service refuses larger bodies. */
	private const MAX_BODY = 32768;

	private array $params;
	private string $prefix;
	private ?HttpClient $client = null;
	private ?LoggerInterface $logger;

	/**
	 * @param array $params
	 *  - url: string|string[], URL of the resource, such as https://userinfo1.example:8443/passwords/v1/, of one or
	 *    several instances
	 *  - prefix: of the user names in the service, such as "enwiki:"
	 *  - local: when to use the hashes in the wiki's database, one of the constants; default: NEVER
	 *  - caBundlePath, certFile, keyFile, tokenFile, signatureKeyFile, signatureKeyId, connTimeout, reqTimeout: see
	 *    HttpClient
	 *  - reset: parameters in place of these, for the job that makes reset tokens
	 *  - import: parameters in place of these, for the maintenance script
	 * @param LoggerInterface|null $logger Default: MediaWiki's channel "userinfo"
	 */
	public function __construct( array $params, ?LoggerInterface $logger = null ) {
		$this->params = $params;
		$this->prefix = $params['prefix'] ?? '';
		if ( $this->prefix === '' ) {
			throw new InvalidArgumentException( 'UserInfo: set prefix of $wgUserInfoPasswords, such as "enwiki:"' );
		}
		if ( !in_array( $params['local'] ?? self::NEVER, [ self::NEVER, self::WRONG, self::UNAVAILABLE ], true ) ) {
			throw new InvalidArgumentException( 'UserInfo: local of $wgUserInfoPasswords must be "never", "wrong" or "unavailable"' );
		}
		$this->logger = $logger;
	}

	/**
	 * Returns the service of $wgUserInfoPasswords.
	 *
	 * @param string $for "reset" or "import": with the parameters for this use
	 */
	public static function newFromGlobals( string $for = '' ): self {
		global $wgUserInfoPasswords, $wgDBname;
		$params = (array)$wgUserInfoPasswords;
		return new self( ( $params[$for] ?? [] ) + $params + [ 'prefix' => "$wgDBname:" ] );
	}

	/**
	 * Reports whether the configuration allows a local hash after this result. It fails closed: after any result that
	 * it does not know, and without configuration, the answer is no.
	 */
	public function allowsLocal( PasswordResult $result ): bool {
		switch ( $this->params['local'] ?? self::NEVER ) {
			case self::UNAVAILABLE:
				return $result->kind === PasswordResult::WRONG || ( $result->kind === PasswordResult::UNAVAILABLE && $result->isOutage );
			case self::WRONG:
				return $result->kind === PasswordResult::WRONG;
			default:
				return false;
		}
	}

	/**
	 * @param string $user
	 * @param string $password
	 * @param string $address IP address of the person
	 */
	public function verify(
		string $user,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		return $this->send( 'verify', 'POST', $user, '/verify', [ 'password' => $password, 'address' => $address ], 204 );
	}

	public function change(
		string $user,
		#[\SensitiveParameter]
		string $current,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		$body = [ 'password' => $password, 'current' => $current, 'address' => $address ];
		return $this->send( 'change', 'PUT', $user, '', $body, 204, false );
	}

	public function changeWithToken(
		string $user,
		#[\SensitiveParameter]
		string $token,
		#[\SensitiveParameter]
		string $password,
		string $address = ''
	): PasswordResult {
		$body = [ 'password' => $password, 'token' => $token ] + ( $address === '' ? [] : [ 'address' => $address ] );
		return $this->send( 'change with a token', 'PUT', $user, '', $body, 204, false );
	}

	/**
	 * Makes a user. If the service has the user with this password, the result is OK too, because an answer may have
	 * got lost before.
	 */
	public function create(
		string $user,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		$result = $this->send( 'create', 'PUT', $user, '', [ 'password' => $password ], 201 );
		if ( $result->kind === PasswordResult::EXISTS ) {
			$verified = $this->verify( $user, $password, $address );
			return $verified->kind === PasswordResult::WRONG ? $result : $verified;
		}
		return $result;
	}

	/** Makes a user with a hash of MediaWiki's. Nobody has the password if the hash is empty. */
	public function import(
		string $user,
		#[\SensitiveParameter]
		string $hash
	): PasswordResult {
		return $this->send( 'import', 'PUT', $user, '', [ 'hash' => $hash ], 204 );
	}

	/** The result has a token with which the password can be set once. */
	public function newResetToken( string $user ): PasswordResult {
		return $this->send( 'make a reset token', 'POST', $user, '/reset-token', null, 201 );
	}

	public function delete( string $user ): PasswordResult {
		return $this->send( 'delete', 'DELETE', $user, '', null, 204, false );
	}

	private function send(
		string $operation,
		string $method,
		string $user,
		string $suffix,
		#[\SensitiveParameter]
		?array $fields,
		int $success,
		bool $repeatable = true
	): PasswordResult {
		$headers = [];
		$body = null;
		if ( $fields !== null ) {
			$body = json_encode( $fields, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES );
			if ( $body === false || strlen( $body ) > self::MAX_BODY ) {
				return new PasswordResult( PasswordResult::UNUSABLE, 0, 'The text is not UTF-8, or too long.' );
			}
			$headers['Content-Type'] = 'application/json';
		}
		if ( $success === 201 && $fields !== null ) {
			$headers['If-None-Match'] = '*';
		}
		$this->client ??= new HttpClient( $this->params );
		$response = $this->client->send( $method, rawurlencode( $this->prefix . $user ) . $suffix, $headers, $body, $repeatable );
		$result = PasswordResult::of( $response, $success, !$repeatable );
		if ( $result->isOK() && $suffix === '/reset-token' ) {
			$result = self::withToken( $response->body );
		}
		$this->log( $operation, $response, $result );
		return $result;
	}

	/** Fails closed: without a token, the result is UNAVAILABLE. */
	private static function withToken(
		#[\SensitiveParameter]
		string $body
	): PasswordResult {
		$token = json_decode( $body, true )['token'] ?? null;
		$result = new PasswordResult( is_string( $token ) && $token !== '' ? PasswordResult::OK : PasswordResult::UNAVAILABLE );
		$result->token = $result->isOK() ? $token : '';
		return $result;
	}

	/** Logs what operators should know. Problem documents contain nothing of the request. */
	private function log( string $operation, Response $response, PasswordResult $result ): void {
		$levels = [
			PasswordResult::UNAVAILABLE => 'error',
			PasswordResult::UNKNOWN => 'error',
			PasswordResult::NOT_EVERYWHERE => 'warning',
			PasswordResult::LIMITED => 'info',
			PasswordResult::UNUSABLE => 'info',
		];
		if ( !isset( $levels[$result->kind] ) ) {
			return;
		}
		$this->logger ??= LoggerFactory::getInstance( 'userinfo' );
		$this->logger->log( $levels[$result->kind], 'UserInfo: passwords: {operation} at {endpoint}: {status} {problem} {detail}', [
			'operation' => $operation,
			'endpoint' => $response->endpoint,
			'status' => $response->status,
			'problem' => $response->problem,
			'detail' => $response->detail,
			'userinfo_request_id' => $response->requestId,
		] );
	}
}
