<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use InvalidArgumentException;
use MediaWiki\Extension\UserInfo\UserInfoBagOStuff;

/**
 * What the class does with the running service beyond MediaWiki's contract.
 *
 * @covers \MediaWiki\Extension\UserInfo\UserInfoBagOStuff
 * @covers \MediaWiki\Extension\UserInfo\HttpClient
 * @covers \MediaWiki\Extension\UserInfo\RequestSigner
 */
class UserInfoBagOStuffTest extends UserInfoTestCase {
	public static function provideValueForms(): array {
		return [
			'PHP' => [ [] ],
			'JSON' => [ [ 'serialization_type' => 'JSON' ] ],
			'PHP, signed' => [ [ 'hmac_key' => 'of the wiki' ] ],
			'JSON, signed' => [ [ 'serialization_type' => 'JSON', 'hmac_key' => 'of the wiki' ] ],
		];
	}

	/**
	 * So a wiki can change to this class, and back, without logging anybody out.
	 *
	 * @dataProvider provideValueForms
	 */
	public function testValues_AreSharedWithStockClass( array $form ) {
		$ours = $this->newBag( $form );
		$stock = $this->newStockBag( $form );
		$session = self::session( 'Çelik' );

		$key = $this->newKey();
		$this->assertTrue( $stock->set( $key, $session, 60 ) );
		$this->assertSame( $session, $ours->get( $key ) );
		$this->assertTrue( $ours->changeTTL( $key, 120 ) );
		$this->assertSame( $session, $stock->get( $key ) );

		$key = $this->newKey();
		$this->assertTrue( $ours->set( $key, $session, 60 ) );
		$this->assertSame( $session, $stock->get( $key ) );
		$this->assertTrue( $stock->delete( $key ) );
		$this->assertFalse( $ours->get( $key ) );
	}

	public function testKeys_AreSharedWithStockClass() {
		foreach ( [ 'enwiki', 'en-wiki', 'wiki:x', 'wiki%' ] as $keyspace ) {
			$ours = $this->newBag( [ 'keyspace' => $keyspace ] );
			$stock = $this->newStockBag( [ 'keyspace' => $keyspace ] );
			foreach ( [ [ 'MWSession', 'abc' ], [ 'a:b', '100%', 7 ], [ 'x', '', 'ü/?' ] ] as $components ) {
				$this->assertSame( $stock->makeKey( ...$components ), $ours->makeKey( ...$components ) );
				$this->assertSame( $stock->makeGlobalKey( ...$components ), $ours->makeGlobalKey( ...$components ) );
			}
		}
	}

	public function testGet_OfValueWithWrongHmacIsMiss() {
		$key = $this->newKey();
		$this->newBag( [ 'serialization_type' => 'JSON', 'hmac_key' => 'of somebody else' ] )->set( $key, self::session( 'Mallory' ), 60 );
		foreach ( [ 'of the wiki', 'of the wiki ' ] as $hmacKey ) {
			$this->assertFalse( $this->newBag( [ 'serialization_type' => 'JSON', 'hmac_key' => $hmacKey ] )->get( $key ) );
		}
		$this->newBag( [ 'serialization_type' => 'JSON' ] )->set( $key, self::session( 'Mallory' ), 60 );
		$this->assertFalse( $this->newBag( [ 'serialization_type' => 'JSON', 'hmac_key' => 'of the wiki' ] )->get( $key ), 'no HMAC at all' );
		$this->assertFalse( $this->newBag( [ 'serialization_type' => 'PHP' ] )->get( $key ), 'another type' );
		$this->assertStringContainsString( 'hmac_key', $this->log->text() );
		$this->assertStringNotContainsString( $key, $this->log->text() );
	}

	public static function provideCredentials(): array {
		$none = [ 'tokenFile' => null ];
		return [
			'a token' => [ [] ],
			'a client certificate' => [ $none + [ 'certFile' => self::file( 'client.crt' ), 'keyFile' => self::file( 'client.key' ) ] ],
			'signed requests' => [ $none + [ 'signatureKeyFile' => self::file( 'signature.key' ), 'signatureKeyId' => 'dev' ] ],
			'all of them' => [ [
				'certFile' => self::file( 'client.crt' ), 'keyFile' => self::file( 'client.key' ),
				'signatureKeyFile' => self::file( 'signature.key' ), 'signatureKeyId' => 'dev',
			] ],
		];
	}

	/** @dataProvider provideCredentials */
	public function testCredentials_AreAcceptedForEveryMethod( array $params ) {
		$bag = $this->newBag( $params );
		foreach ( [ $this->newKey(), "a/b?c#d e\xff" . bin2hex( random_bytes( 8 ) ), '..' ] as $key ) {
			$this->assertTrue( $bag->set( $key, 'value', 60 ) );
			$this->assertSame( 'value', $bag->get( $key ) );
			$this->assertTrue( $bag->changeTTL( $key, 600 ) );
			if ( $key !== '..' ) { // others set this key again
				$this->assertTrue( $bag->delete( $key ) );
			}
		}
		$this->assertSame( '', $this->log->text() );
	}

	public function testCredentials_ThatAreWrongAreErrorsAndNoMisses() {
		$key = $this->newKey();
		$this->newBag()->set( $key, 'kept', 60 );
		$file = tempnam( sys_get_temp_dir(), 'token' );
		file_put_contents( $file, 'userinfo_' . str_repeat( 'A', 43 ) . "\n" );
		foreach ( [ 'a wrong token' => $file, 'no token' => null ] as $what => $tokenFile ) {
			$bag = $this->newBag( [ 'tokenFile' => $tokenFile ] );
			foreach ( [
				fn () => $bag->get( $key ), fn () => $bag->set( $key, 'x', 60 ), fn () => $bag->changeTTL( $key, 60 ),
				fn () => $bag->delete( $key ), fn () => $bag->add( $key, 'x', 60 ), fn () => $bag->incr( $key ),
			] as $call ) {
				$before = $bag->watchErrors();
				$this->assertFalse( $call(), $what );
				$this->assertSame( UserInfoBagOStuff::ERR_UNEXPECTED, $bag->getLastError( $before ), $what );
			}
		}
		unlink( $file );
		$this->assertSame( 'kept', $this->newBag()->get( $key ) );
		$this->assertStringContainsString( 'unauthenticated', $this->log->text() );
		$this->assertStringNotContainsString( $key, $this->log->text() );
	}

	public function testCertificate_OfUnknownCAIsRefused() {
		$bag = $this->newBag( [ 'caBundlePath' => null ] );
		$before = $bag->watchErrors();
		$this->assertFalse( $bag->get( $this->newKey() ) );
		$this->assertSame( UserInfoBagOStuff::ERR_UNREACHABLE, $bag->getLastError( $before ) );
		$this->assertStringContainsString( '(curl error: 60)', $this->log->text() );
	}

	public function testUrl_OfAnotherCollectionIsErrorAndNoMiss() {
		$bag = $this->newBag( [ 'url' => str_replace( '/sessions/', '/session/', getenv( 'USERINFO_URL' ) ) ] );
		foreach ( [ fn () => $bag->get( 'key' ), fn () => $bag->delete( 'key' ), fn () => $bag->changeTTL( 'key', 60 ) ] as $call ) {
			$before = $bag->watchErrors();
			$this->assertFalse( $call() );
			$this->assertSame( UserInfoBagOStuff::ERR_UNEXPECTED, $bag->getLastError( $before ) );
		}
		$this->assertStringContainsString( 'no-such-resource', $this->log->text() );
	}

	public function testSet_OfDeletedKeyIsRefusedAndLoggedWithoutKey() {
		$bag = $this->newBag();
		$key = $this->newKey();
		$bag->set( $key, 'value', 60 );
		$bag->delete( $key );
		$this->assertFalse( $bag->set( $key, 'again', 60 ) );
		$this->assertFalse( $bag->get( $key ) );
		$this->assertCount( 1, $this->log->lines );
		$this->assertStringStartsWith( 'error: ', $this->log->text() );
		foreach ( [ '"status":409', '"problem":"deleted"', '"userinfo_request_id":"' ] as $part ) {
			$this->assertStringContainsString( $part, $this->log->text() );
		}
		$this->assertStringNotContainsString( substr( $key, -32 ), $this->log->text() );
	}

	public function testSet_OfTooLargeValueIsRefused() {
		$bag = $this->newBag();
		$key = $this->newKey();
		$this->assertFalse( $bag->set( $key, str_repeat( 'x', 2 << 20 ), 60 ) );
		$this->assertStringContainsString( 'value-too-large', $this->log->text() );
		$this->assertFalse( $bag->get( $key ) );
		$this->assertTrue( $bag->set( $key, 'small', 60 ) );
	}

	public static function provideMistakes(): array {
		$url = 'https://userinfo.example/sessions/v1/';
		$secret = self::file( 'ca.crt' );
		return [
			'no URL' => [ [], 'url' ],
			'http to another machine' => [ [ 'url' => 'http://userinfo.example/sessions/v1' ], 'https://' ],
			'http to a name that looks like this machine' => [ [ 'url' => 'http://localhost.example/sessions/v1' ], 'https://' ],
			'one of two URLs' => [ [ 'url' => [ $url, 'ftp://x/y' ] ], 'https://' ],
			'no path' => [ [ 'url' => 'https://userinfo.example' ], 'url' ],
			'a query' => [ [ 'url' => "$url?x" ], 'url' ],
			'credentials in the URL' => [ [ 'url' => 'https://user:secret@userinfo.example/sessions/v1' ], 'url' ],
			'parameters of RESTBagOStuff' => [ [ 'url' => $url, 'httpParams' => [] ], 'tokenFile' ],
			'an unknown type' => [ [ 'url' => $url, 'serialization_type' => 'XML' ], 'serialization_type' ],
			'a token file that does not exist' => [ [ 'url' => $url, 'tokenFile' => '/nowhere/secret' ], 'tokenFile' ],
			'a token file with more than the token' => [ [ 'url' => $url, 'tokenFile' => $secret ], 'tokenFile' ],
			'a file without a signature key' => [ [ 'url' => $url, 'signatureKeyFile' => $secret, 'signatureKeyId' => 'x' ], 'userinfo key new signature' ],
			'a signature key without id' => [ [ 'url' => $url, 'signatureKeyFile' => self::file( 'signature.key' ) ], 'signatureKeyId' ],
		];
	}

	/** @dataProvider provideMistakes */
	public function testConstructor_SaysWhatToChange( array $params, string $part ) {
		try {
			new UserInfoBagOStuff( $params );
			$this->fail( 'accepted' );
		} catch ( InvalidArgumentException $e ) {
			$this->assertStringContainsString( $part, $e->getMessage() );
			$this->assertStringNotContainsString( 'secret', $e->getMessage() );
		}
	}

	public function testConstructor_AcceptsHttpToProxyOnThisMachine() {
		foreach ( [ 'http://127.0.0.1:8080/sessions/v1/', 'http://[::1]:8080/sessions/v1', 'http://localhost/sessions/v1' ] as $url ) {
			$this->assertInstanceOf( UserInfoBagOStuff::class, new UserInfoBagOStuff( [ 'url' => $url ] ) );
		}
	}
}
