<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use MediaWiki\Extension\UserInfo\UserInfoBagOStuff;

/**
 * What the class sends, and what it makes of answers that a running service gives seldom. The other side is a scripted
 * server.
 *
 * @covers \MediaWiki\Extension\UserInfo\UserInfoBagOStuff
 * @covers \MediaWiki\Extension\UserInfo\HttpClient
 * @covers \MediaWiki\Extension\UserInfo\Response
 * @covers \MediaWiki\Extension\UserInfo\KeyHidingLogger
 */
class HttpClientTest extends UserInfoTestCase {
	/** The time for a request is 3.0 s. The rest is for a busy machine. */
	private const MAX_SECONDS = 4.0;
	private const SESSION = 'enwiki:MWSession:secret-key';

	public static function provideExpiries(): array {
		return [
			'one hour' => [ 3600, 3600, 3600 ],
			'a fraction' => [ 90.7, 90, 90 ],
			'a time' => [ time() + 600, 500, 600 ],
			'none' => [ 0, 86400, 86400 ],
			'longer than maxTTL' => [ 172800, 86400, 86400 ],
			'a time beyond maxTTL' => [ time() + 172800, 86400, 86400 ],
			'a time in the past' => [ time() - 600, 1, 1 ],
			'a negative number' => [ -5, 1, 1 ],
		];
	}

	/** @dataProvider provideExpiries */
	public function testSet_SendsTTL( $expiry, int $min, int $max ) {
		$url = $this->newFakeUrl( '204' );
		$this->assertTrue( $this->newFakeBag( $url )->set( 'key', 'value', $expiry ) );
		$ttl = (int)$this->received( $url )[0]['headers']['Ttl'];
		$this->assertGreaterThanOrEqual( $min, $ttl );
		$this->assertLessThanOrEqual( $max, $ttl );
	}

	public function testSet_SendsTTLUpToMaxTTL() {
		$url = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( $url, [ 'maxTTL' => 7200 ] );
		$bag->set( 'key', 'value' );
		$bag->set( 'key', 'value', 86400 );
		$this->assertSame( [ '7200', '7200' ], array_column( array_column( array_slice( $this->received( $url ), 0, 2 ), 'headers' ), 'Ttl' ) );
	}

	public function testChangeTTL_IsOneTouchWithoutValue() {
		$url = $this->newFakeUrl( '204' );
		$this->assertTrue( $this->newFakeBag( $url )->changeTTL( 'key', 3600 ) );
		$all = $this->received( $url );
		$this->assertCount( 2, $all, 'the touch and the call of received()' );
		$touch = $all[0];
		$this->assertSame( [ 'PATCH', 'key', '3600', '' ], [ $touch['method'], $touch['key'], $touch['headers']['Ttl'], $touch['body'] ] );
	}

	public function testAdd_DoesNotSetIfStoreCannotBeRead() {
		$url = $this->newFakeUrl( '503-unavailable' );
		$this->assertFalse( $this->newFakeBag( $url )->add( 'key', 'value', 60 ) );
		$this->assertFalse( $this->newFakeBag( $url )->incrWithInit( 'number', 60 ) );
		$this->assertSame( [ 'GET', 'GET', 'GET' ], array_column( $this->received( $url ), 'method' ) );
	}

	public function testIncr_KeepsTTL() {
		$url = $this->newFakeUrl( '200' ); // every value is 7 and has 77 seconds left
		$this->assertSame( 8, $this->newFakeBag( $url )->incrWithInit( 'key', 3600 ) );
		$this->assertSame( '77', $this->received( $url )[2]['headers']['Ttl'] );
	}

	public function testRequests_HaveNoExpectAndNoFormType() {
		$url = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( $url );
		$bag->set( 'key', str_repeat( 'x', 100000 ), 60 );
		$bag->delete( 'key' );
		[ $put, $delete ] = $this->received( $url );
		$this->assertSame( 'application/octet-stream', $put['headers']['Content-Type'] );
		$this->assertArrayNotHasKey( 'Expect', $put['headers'] );
		$this->assertArrayNotHasKey( 'Content-Type', $delete['headers'] );
		$this->assertArrayNotHasKey( 'Ttl', $delete['headers'] );
	}

	public function testRequests_UseOneConnection() {
		$url = $this->newFakeUrl( '204' );
		for ( $i = 0; $i < 3; $i++ ) {
			$bag = $this->newFakeBag( $url ); // as for several caches of one wiki
			$bag->set( "key$i", 'value', 60 );
			$bag->changeTTL( "key$i", 60 );
			$bag->delete( "key$i" );
		}
		$connections = array_column( $this->received( $url ), 'connection' );
		$this->assertCount( 10, $connections );
		$this->assertCount( 1, array_unique( $connections ) );
	}

	public function testRequests_HaveHeadersOfTelemetry() {
		$id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
		$telemetry = new class( $id ) {
			private string $id;

			public function __construct( string $id ) {
				$this->id = $id;
			}

			public function getRequestHeaders(): array {
				return [ 'traceparent' => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'X-Request-Id' => $this->id ];
			}
		};
		$url = $this->newFakeUrl( '204' );
		$this->newFakeBag( $url, [ 'telemetry' => $telemetry ] )->delete( 'key' );
		$headers = $this->received( $url )[0]['headers'];
		$this->assertSame( $id, $headers['X-Request-Id'] );
		$this->assertStringStartsWith( '00-0af7651916cd43dd8448eb211c80319c', $headers['Traceparent'] );
	}

	public function testRequests_AreSignedAnewForEachAttempt() {
		$first = $this->newFakeUrl( '503-overloaded' );
		$second = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( [ $first, $second ], [ 'signatureKeyFile' => self::file( 'signature.key' ), 'signatureKeyId' => 'a "b" \\c' ] );
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$inputs = [];
		foreach ( [ $first, $second ] as $url ) {
			$headers = $this->received( $url )[0]['headers'];
			$this->assertMatchesRegularExpression( '/^sha-256=:[\w+\/]{43}=:$/', $headers['Content-Digest'] );
			$this->assertMatchesRegularExpression( '/^userinfo=:[\w+\/]{43}=:$/', $headers['Signature'] );
			$this->assertStringContainsString( '"ttl" "content-digest")', $headers['Signature-Input'] );
			$this->assertStringContainsString( ';keyid="a \\"b\\" \\\\c"', $headers['Signature-Input'] );
			$inputs[] = $headers['Signature-Input'];
		}
		$this->assertNotSame( $inputs[0], $inputs[1] );
	}

	public function testDelete_ThatIsNotEverywhereIsDoneAndMadeKnown() {
		$bag = $this->newFakeBag( [ $this->newFakeUrl( '503-not-everywhere' ), $unused = $this->newFakeUrl( '204' ) ] );
		$before = $bag->watchErrors();
		$this->assertTrue( $bag->delete( self::SESSION ) );
		$this->assertSame( UserInfoBagOStuff::ERR_NONE, $bag->getLastError( $before ) );
		$this->assertSame( UserInfoBagOStuff::NOT_EVERYWHERE, UserInfoBagOStuff::getDeleteState() );
		$this->assertStringStartsWith( 'warning: ', $this->log->text() );
		$this->assertStringContainsString( 'not-everywhere', $this->log->text() );
		$this->assertStringNotContainsString( 'secret-key', $this->log->text() );
		$this->assertTrue( $bag->delete( 'another-key' ) );
		$this->assertCount( 1, $this->received( $unused ), 'another instance is not asked: it would answer the same' );
	}

	public function testDelete_StateIsThatOfWorstDelete() {
		$this->assertSame( UserInfoBagOStuff::DELETED, UserInfoBagOStuff::getDeleteState() );
		$this->newFakeBag( $this->newFakeUrl( '204' ) )->delete( self::SESSION );
		$this->newFakeBag( $this->newFakeUrl( '503-unavailable' ) )->delete( 'enwiki:another cache:key' );
		$this->assertSame( UserInfoBagOStuff::DELETED, UserInfoBagOStuff::getDeleteState() );
		foreach ( [ '503-unavailable', '503-audit-unavailable', '401-unauthenticated', '202', '404-no-such-resource' ] as $answer ) {
			$this->beginPhpRequest();
			$bag = $this->newFakeBag( $this->newFakeUrl( $answer ) );
			$before = $bag->watchErrors();
			$this->assertFalse( $bag->delete( self::SESSION ), $answer );
			$this->assertSame( UserInfoBagOStuff::DELETE_FAILED, UserInfoBagOStuff::getDeleteState(), $answer );
			$this->assertSame( UserInfoBagOStuff::ERR_UNEXPECTED, $bag->getLastError( $before ), $answer );
		}
		$this->newFakeBag( $this->newFakeUrl( '503-unavailable' ) )->delete( self::SESSION );
		$this->newFakeBag( $this->newFakeUrl( '503-not-everywhere' ) )->delete( self::SESSION );
		$this->assertSame( UserInfoBagOStuff::DELETE_FAILED, UserInfoBagOStuff::getDeleteState() );
	}

	public function testFailure_IsLoggedWithProblemAndRequestIdAndWithoutKey() {
		$bag = $this->newFakeBag( $this->newFakeUrl( '503-unavailable' ) );
		$before = $bag->watchErrors();
		$this->assertFalse( $bag->get( 'secret-key' ) );
		$this->assertFalse( $bag->set( 'secret-key', 'secret-value', 60 ) );
		$this->assertFalse( $bag->changeTTL( 'secret-key', 60 ) );
		$this->assertFalse( $bag->add( 'secret-key', 'secret-value', 60 ) );
		$this->assertFalse( $bag->merge( 'secret-key', static fn () => 'secret-value', 60 ) );
		$this->assertFalse( $bag->lock( 'secret-key', 0 ) );
		$this->assertFalse( $bag->unlock( 'secret-key' ) );
		$this->assertFalse( $bag->incrWithInit( 'secret-key', 60 ) );
		$this->assertSame( UserInfoBagOStuff::ERR_UNEXPECTED, $bag->getLastError( $before ) );
		foreach ( [ '"status":503', '"problem":"unavailable"', '"detail":"scripted"', '"userinfo_request_id":"scripted-id"', '"endpoint":"127.0.0.1:' ] as $part ) {
			$this->assertStringContainsString( $part, $this->log->lines[0] );
		}
		$this->assertStringNotContainsString( 'secret', $this->log->text() );
	}

	public function testDoubleReads_AreLoggedWithoutKey() {
		$later = [];
		$bag = $this->newFakeBag( $this->newFakeUrl( '404-not-found' ), [
			'reportDupes' => true,
			'asyncHandler' => static function ( callable $task ) use ( &$later ) {
				$later[] = $task;
			},
		] );
		$bag->get( 'secret-key' );
		$bag->get( 'secret-key' );
		$this->assertCount( 1, $later );
		$later[0]();
		$this->assertStringContainsString( 'Duplicate get()', $this->log->text() );
		$this->assertStringNotContainsString( 'secret-key', $this->log->text() );
	}

	public static function provideAnswersThatAreRepeated(): array {
		return [ [ '503-unavailable' ], [ '503-overloaded' ], [ '503-full' ], [ '503-audit-unavailable' ], [ '503-not-ready' ], [ '502' ], [ '504' ], [ 'cut' ] ];
	}

	/** @dataProvider provideAnswersThatAreRepeated */
	public function testFailover_RepeatsAtNextInstance( string $answer ) {
		$first = $this->newFakeUrl( $answer );
		$second = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( [ $first, $second ] );
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$this->assertCount( 2, $this->received( $second ) );
		$this->assertSame( '', $this->log->text() );
	}

	public static function provideFinalAnswers(): array {
		return [ [ '400-bad-request' ], [ '401-unauthenticated' ], [ '403-forbidden' ], [ '409-deleted' ], [ '413-value-too-large' ], [ '429-too-many-requests' ], [ '500-internal' ] ];
	}

	/** @dataProvider provideFinalAnswers */
	public function testFailover_DoesNotRepeatFinalAnswers( string $answer ) {
		$second = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( [ $this->newFakeUrl( $answer ), $second ] );
		$this->assertFalse( $bag->set( 'key', 'value', 60 ) );
		$this->assertCount( 1, $this->received( $second ) );
	}

	/** Returns a URL of a socket that the kernel accepts connections for, and on which nobody answers. */
	private function newSilentUrl( &$socket ): string {
		$socket = stream_socket_server( 'tcp://127.0.0.1:0' );
		return 'https://' . stream_socket_get_name( $socket, false ) . '/sessions/v1/';
	}

	/** Returns how many connections wait at the socket, and takes them. */
	private static function connections( $socket ): int {
		for ( $n = 0; @stream_socket_accept( $socket, 0 ); $n++ );
		return $n;
	}

	public function testDeadInstance_IsTriedOncePerPhpRequest() {
		$silent = $this->newSilentUrl( $socket );
		$living = $this->newFakeUrl( '204' );
		$bag = $this->newFakeBag( [ $silent, $living ] );
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$this->assertTrue( $bag->changeTTL( 'key', 60 ) );
		$this->assertTrue( $this->newFakeBag( [ $silent, $living ] )->delete( 'key' ) );
		$this->assertSame( 1, self::connections( $socket ) );
		$this->assertCount( 4, $this->received( $living ) );
	}

	public function testDeadInstance_IsRememberedByNextPhpRequest() {
		$this->assertTrue( function_exists( 'apcu_enabled' ) && apcu_enabled(), 'run PHP with APCu and apc.enable_cli=1' );
		$silent = $this->newSilentUrl( $socket );
		$bag = $this->newFakeBag( [ $silent, $this->newFakeUrl( '204' ) ] );
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$this->beginPhpRequest();
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$this->assertSame( 1, self::connections( $socket ) );
		apcu_clear_cache(); // as after DEAD_SECONDS
		$this->beginPhpRequest();
		$this->assertTrue( $bag->set( 'key', 'value', 60 ) );
		$this->assertSame( 1, self::connections( $socket ) );
	}

	public function testDeadInstance_IsTriedIfAllOthersFail() {
		$silent = $this->newSilentUrl( $socket );
		$other = $this->newFakeUrl( '503-unavailable' );
		$bag = $this->newFakeBag( [ $silent, $other ], [ 'connTimeout' => 0.3 ] );
		$this->assertFalse( $bag->set( 'key', 'value', 60 ) );
		$this->assertFalse( $bag->set( 'key', 'value', 60 ) );
		$this->assertSame( 2, self::connections( $socket ) );
	}

	public static function provideSilence(): array {
		return [
			'no instance answers a connection' => [ [ 'silent', 'silent', 'silent', 'silent' ] ],
			'no instance answers a request' => [ [ 'hang', 'hang' ] ],
			'some do this and some do that' => [ [ 'silent', 'hang', 'silent' ] ],
		];
	}

	/** @dataProvider provideSilence */
	public function testTimeout_IsThatOfAllAttempts( array $kinds ) {
		$sockets = [];
		$urls = [];
		foreach ( $kinds as $i => $kind ) {
			$urls[] = $kind === 'silent' ? $this->newSilentUrl( $sockets[$i] ) : $this->newFakeUrl( $kind );
		}
		$bag = $this->newFakeBag( $urls );
		$before = $bag->watchErrors();
		$start = hrtime( true );
		$this->assertFalse( $bag->get( 'key' ) );
		$this->assertLessThan( self::MAX_SECONDS, ( hrtime( true ) - $start ) / 1e9 );
		$this->assertSame( UserInfoBagOStuff::ERR_UNREACHABLE, $bag->getLastError( $before ) );
	}
}
