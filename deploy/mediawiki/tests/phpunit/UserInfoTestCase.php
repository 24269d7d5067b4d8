<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use MediaWiki\Extension\UserInfo\HttpClient;
use MediaWiki\Extension\UserInfo\UserInfoBagOStuff;
use PHPUnit\Framework\TestCase;
use ReflectionProperty;

/** Makes caches of the running service and of the scripted server, each with a log and new keys. */
abstract class UserInfoTestCase extends TestCase {
	protected RecordingLogger $log;

	protected function setUp(): void {
		parent::setUp();
		$this->log = new RecordingLogger;
		$this->beginPhpRequest();
		if ( function_exists( 'apcu_clear_cache' ) ) {
			apcu_clear_cache();
		}
	}

	/** Forgets what the classes remember during one PHP request. APCu and the connections stay. */
	protected function beginPhpRequest(): void {
		foreach ( [ [ UserInfoBagOStuff::class, 'deleteState', 0 ], [ HttpClient::class, 'deadUntil', [] ] ] as [ $class, $name, $value ] ) {
			$property = new ReflectionProperty( $class, $name );
			$property->setAccessible( true );
			$property->setValue( null, $value );
		}
	}

	/** Returns the path of a file that the service's configuration belongs to. */
	protected static function file( string $name ): string {
		return getenv( 'USERINFO_FILES' ) . "/$name";
	}

	/** Returns a cache of the running service. Its client identifies itself with a token. */
	protected function newBag( array $params = [] ): UserInfoBagOStuff {
		return new UserInfoBagOStuff( $params + [
			'url' => getenv( 'USERINFO_URL' ),
			'caBundlePath' => self::file( 'ca.crt' ),
			'tokenFile' => self::file( 'token' ),
			'keyspace' => 'enwiki',
			'logger' => $this->log,
		] );
	}

	/** Returns a collection of the scripted server that nobody else uses. It gives this answer, such as "503-unavailable". */
	protected function newFakeUrl( string $answer ): string {
		return getenv( 'USERINFO_FAKE' ) . "/$answer/" . bin2hex( random_bytes( 8 ) ) . '/';
	}

	/** Returns a cache of the scripted server. */
	protected function newFakeBag( $url, array $params = [] ): UserInfoBagOStuff {
		return new UserInfoBagOStuff( $params + [
			'url' => $url,
			'caBundlePath' => getenv( 'USERINFO_FAKE_CA' ),
			'serialization_type' => 'JSON',
			'keyspace' => 'enwiki',
			'logger' => $this->log,
		] );
	}

	/**
	 * Returns what a collection of the scripted server has received, this call included: method, key, headers, body and number
	 * of the connection.
	 */
	protected function received( string $url ): array {
		return $this->newFakeBag( $url )->get( 'received' );
	}

	/** Returns a new session key in MediaWiki's form. */
	protected function newKey( ?UserInfoBagOStuff $bag = null ): string {
		return ( $bag ?? $this->newBag() )->makeKey( 'MWSession', bin2hex( random_bytes( 16 ) ) );
	}

	/** Returns a session as MediaWiki stores it. */
	protected static function session( string $user ): array {
		return [
			'data' => [ 'wsUserID' => 4711, 'wsUserName' => $user, 'wsTokenSecrets' => [ 'default' => bin2hex( random_bytes( 16 ) ) ] ],
			'metadata' => [ 'userId' => 4711, 'userName' => $user, 'remember' => false, 'expires' => time() + 3600, 'persisted' => true ],
		];
	}

	/** Returns MediaWiki's own client of the same collection. */
	protected function newStockBag( array $params = [] ) {
		$class = class_exists( \Wikimedia\ObjectCache\RESTBagOStuff::class )
			? \Wikimedia\ObjectCache\RESTBagOStuff::class
			: \RESTBagOStuff::class;
		$headers = [ 'Authorization' => 'Bearer ' . trim( file_get_contents( self::file( 'token' ) ) ) ];
		return new $class( $params + [
			'url' => getenv( 'USERINFO_URL' ),
			'caBundlePath' => self::file( 'ca.crt' ),
			'httpParams' => [ 'readHeaders' => $headers, 'writeHeaders' => $headers, 'deleteHeaders' => $headers ],
			'keyspace' => 'enwiki',
			'logger' => $this->log,
		] );
	}
}
