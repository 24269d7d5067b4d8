<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use InvalidArgumentException;
use MediaWiki\Auth\LocalPasswordPrimaryAuthenticationProvider;
use MediaWiki\Auth\TemporaryPasswordPrimaryAuthenticationProvider;
use MediaWiki\Extension\UserInfo\PasswordProvider;
use MediaWiki\Extension\UserInfo\PasswordResult;
use MediaWiki\Extension\UserInfo\PasswordService;
use MediaWiki\Extension\UserInfo\PasswordSetup;
use MediaWiki\Extension\UserInfo\ResetCode;
use RuntimeException;

/**
 * What the class sends, and what it makes of each answer. The other side is a scripted server. internal/e2e/mediawiki
 * has the tests with a running service and whole wikis.
 *
 * @covers \MediaWiki\Extension\UserInfo\PasswordService
 * @covers \MediaWiki\Extension\UserInfo\PasswordResult
 * @covers \MediaWiki\Extension\UserInfo\PasswordSetup
 * @covers \MediaWiki\Extension\UserInfo\ResetCode
 */
class PasswordServiceTest extends UserInfoTestCase {
	private function newService( $url, array $params = [] ): PasswordService {
		return new PasswordService( $params + [ 'url' => $url, 'prefix' => 'enwiki:', 'caBundlePath' => getenv( 'USERINFO_FAKE_CA' ) ], $this->log );
	}

	/** Calls every method, and returns the results by the method's name. */
	private static function callAll( PasswordService $service ): array {
		return [
			'verify' => $service->verify( 'Alice', 'secret-old', '192.0.2.1' ),
			'change' => $service->change( 'Alice', 'secret-old', 'secret-new', '192.0.2.1' ),
			'changeWithToken' => $service->changeWithToken( 'Alice', 'secret-token', 'secret-new', '192.0.2.1' ),
			'create' => $service->create( 'Alice', 'secret-new', '192.0.2.1' ),
			'import' => $service->import( 'Alice', ':A:secret-hash' ),
			'newResetToken' => $service->newResetToken( 'Alice' ),
			'delete' => $service->delete( 'Alice' ),
		];
	}

	public function testRequests_AreThoseOfTheDocumentation() {
		$url = $this->newFakeUrl( '204' );
		self::callAll( $this->newService( $url ) );
		$seen = array_map( static function ( array $q ) {
			return "$q[method] $q[key] $q[body] " . ( $q['headers']['If-None-Match'] ?? '' );
		}, array_slice( $this->received( $url ), 0, -1 ) );
		$this->assertSame( [
			'POST enwiki:Alice/verify {"password":"secret-old","address":"192.0.2.1"} ',
			'PUT enwiki:Alice {"password":"secret-new","current":"secret-old","address":"192.0.2.1"} ',
			'PUT enwiki:Alice {"password":"secret-new","token":"secret-token","address":"192.0.2.1"} ',
			'PUT enwiki:Alice {"password":"secret-new"} *',
			'PUT enwiki:Alice {"hash":":A:secret-hash"} ',
			'POST enwiki:Alice/reset-token  ',
			'DELETE enwiki:Alice  ',
		], $seen );
		$this->assertSame( 'application/json', $this->received( $url )[0]['headers']['Content-Type'] );
	}

	public static function provideAnswers(): array {
		return [
			[ '403-wrong-password', PasswordResult::WRONG, PasswordResult::WRONG ],
			[ '429-too-many-guesses', PasswordResult::LIMITED, PasswordResult::LIMITED ],
			[ '422-weak-password', PasswordResult::WEAK, PasswordResult::WEAK ],
			[ '412-user-exists', PasswordResult::EXISTS, PasswordResult::EXISTS ],
			[ '400-bad-request', PasswordResult::UNUSABLE, PasswordResult::UNUSABLE ],
			[ '413-value-too-large', PasswordResult::UNUSABLE, PasswordResult::UNUSABLE ],
			[ '412-user-deleted', PasswordResult::DELETED, PasswordResult::DELETED ],
			[ '503-not-everywhere', PasswordResult::UNAVAILABLE, PasswordResult::NOT_EVERYWHERE ],
			[ '503-overloaded', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '503-not-ready', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '503-audit-unavailable', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '503-unavailable', PasswordResult::UNAVAILABLE, PasswordResult::UNKNOWN ],
			[ '500-internal', PasswordResult::UNAVAILABLE, PasswordResult::UNKNOWN ],
			[ '502', PasswordResult::UNAVAILABLE, PasswordResult::UNKNOWN ],
			[ 'cut', PasswordResult::UNAVAILABLE, PasswordResult::UNKNOWN ],
			[ '403-forbidden', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '403', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '401-unauthenticated', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '404-not-found', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '429-too-many-requests', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '200', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '201', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '202', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '302', PasswordResult::UNAVAILABLE, PasswordResult::UNAVAILABLE ],
			[ '204', PasswordResult::OK, PasswordResult::OK ],
		];
	}

	/** @dataProvider provideAnswers */
	public function testResult_FailsClosed( string $answer, string $verify, string $change ) {
		$results = self::callAll( $this->newService( $this->newFakeUrl( $answer ) ) );
		$this->assertSame( $verify, $results['verify']->kind );
		$this->assertSame( $change, $results['change']->kind );
		$this->assertSame( $change, $results['changeWithToken']->kind );
		$this->assertSame( $verify === PasswordResult::OK, $results['verify']->isOK() );
		$this->assertSame( $change, $results['delete']->kind );
		$this->assertFalse( $results['newResetToken']->isOK(), 'no answer of this server has a token' );
	}

	public function testCreate_SucceedsWith201Only() {
		$this->assertTrue( $this->newService( $this->newFakeUrl( '201' ) )->create( 'Alice', 'p', '' )->isOK() );
		$this->assertFalse( $this->newService( $this->newFakeUrl( '204' ) )->create( 'Alice', 'p', '' )->isOK() );
	}

	public function testCreate_AsksWhetherPasswordIsThatOfExistingUser() {
		$url = $this->newFakeUrl( '412-user-exists' );
		$this->newService( $url )->create( 'Alice', 'secret-new', '192.0.2.1' );
		$this->assertSame( [ 'enwiki:Alice', 'enwiki:Alice/verify', 'received' ], array_column( $this->received( $url ), 'key' ) );
	}

	public function testLimited_TellsTheTime() {
		$this->assertSame( 77, $this->newService( $this->newFakeUrl( '429-too-many-guesses' ) )->verify( 'Alice', 'p', '192.0.2.1' )->retryAfter );
	}

	public static function provideFailovers(): array {
		return [
			[ '503-overloaded', true, true ],
			[ '503-not-ready', true, true ],
			[ '503-audit-unavailable', true, true ],
			[ '503-unavailable', true, false ],
			[ '503-not-everywhere', false, false ],
			[ '502', true, false ],
			[ 'cut', true, false ],
			[ '403-wrong-password', false, false ],
			[ '429-too-many-guesses', false, false ],
		];
	}

	/** @dataProvider provideFailovers */
	public function testFailover_RepeatsNoChangeThatMayBeDone( string $answer, bool $verify, bool $change ) {
		$second = $this->newFakeUrl( '204' );
		$this->newService( [ $this->newFakeUrl( $answer ), $second ] )->verify( 'Alice', 'old', '192.0.2.1' );
		$this->assertCount( $verify ? 2 : 1, $this->received( $second ) );
		$second = $this->newFakeUrl( '204' );
		$this->newService( [ $this->newFakeUrl( $answer ), $second ] )->change( 'Alice', 'old', 'new', '192.0.2.1' );
		$this->assertCount( $change ? 2 : 1, $this->received( $second ) );
	}

	public function testFailover_RepeatsChangeWithoutConnection() {
		$socket = stream_socket_server( 'tcp://127.0.0.1:0' );
		$closed = 'https://' . stream_socket_get_name( $socket, false ) . '/passwords/v1/';
		fclose( $socket );
		$this->assertTrue( $this->newService( [ $closed, $this->newFakeUrl( '204' ) ] )->change( 'Alice', 'old', 'new', '192.0.2.1' )->isOK() );
		$this->assertSame( PasswordResult::UNAVAILABLE, $this->newService( $closed )->change( 'Alice', 'old', 'new', '192.0.2.1' )->kind );
	}

	public function testTexts_ThatCannotBeSentAreUnusable() {
		$url = $this->newFakeUrl( '204' );
		$service = $this->newService( $url );
		foreach ( [ str_repeat( 'x', 32768 ), "not UTF-8: \xff" ] as $text ) {
			$this->assertSame( PasswordResult::UNUSABLE, $service->verify( 'Alice', $text, '192.0.2.1' )->kind );
		}
		$this->assertCount( 1, $this->received( $url ) );
	}

	/** @dataProvider provideAnswers */
	public function testLog_HasNoSecret( string $answer ) {
		self::callAll( $this->newService( $this->newFakeUrl( $answer ) ) );
		$this->assertStringNotContainsString( 'secret', $this->log->text() );
		$this->assertSame( $answer === '503-unavailable', strpos( $this->log->text(), '"problem":"unavailable"' ) !== false );
	}

	public function testAllowsLocal_OnlyIfConfigured() {
		$all = [ 'OK', 'WRONG', 'LIMITED', 'WEAK', 'EXISTS', 'DELETED', 'NOT_EVERYWHERE', 'UNUSABLE', 'UNKNOWN', 'UNAVAILABLE' ];
		foreach ( [ [ [], [] ], [ [ 'local' => 'never' ], [] ], [ [ 'local' => 'wrong' ], [ 'WRONG' ] ], [ [ 'local' => 'unavailable' ], [ 'WRONG', 'UNAVAILABLE' ] ] ]
			as [ $params, $want ] ) {
			$service = $this->newService( 'https://127.0.0.1/passwords/v1/', $params );
			$got = array_filter( $all, static function ( string $name ) use ( $service ) {
				$result = new PasswordResult( constant( PasswordResult::class . "::$name" ) );
				$result->isOutage = true;
				return $service->allowsLocal( $result );
			} );
			$this->assertSame( $want, array_values( $got ) );
		}
	}

	/**
	 * What makes the service refuse a wiki is no reason to use local hashes: somebody who sends many requests could
	 * cause it.
	 */
	public function testAllowsLocal_AfterOutagesOnly() {
		$answers = [ '503-unavailable', '503-overloaded', '503-not-everywhere', '502', '500-internal', 'cut',
			'403-forbidden', '401-unauthenticated', '404-not-found', '429-too-many-requests', '200', '302' ];
		$got = array_filter( $answers, function ( string $answer ) {
			$service = $this->newService( $this->newFakeUrl( $answer ), [ 'local' => 'unavailable' ] );
			return $service->allowsLocal( $service->verify( 'Alice', 'p', '192.0.2.1' ) );
		} );
		$this->assertSame( array_slice( $answers, 0, 6 ), array_values( $got ) );
	}

	/** PHP must not show secrets in the traces of exceptions. The names are those that the methods use for secrets. */
	public function testParameters_WithSecretsAreSensitive() {
		$found = 0;
		foreach ( glob( __DIR__ . '/../../src/*.php' ) as $file ) {
			$class = new \ReflectionClass( 'MediaWiki\\Extension\\UserInfo\\' . basename( $file, '.php' ) );
			foreach ( $class->getMethods() as $method ) {
				foreach ( $method->getFileName() === realpath( $file ) ? $method->getParameters() : [] as $parameter ) {
					if ( preg_match( '/^(password|current|token|hash|code|text|fields|body)$/', $parameter->getName() ) ) {
						$this->assertCount( 1, $parameter->getAttributes( 'SensitiveParameter' ), "$class->name::{$method->name}() $parameter" );
						$found++;
					}
				}
			}
		}
		$this->assertGreaterThan( 20, $found );
	}

	public function testConfiguration_RefusesProvidersThatKeepHashes() {
		$ours = [ 'class' => PasswordProvider::class ];
		PasswordSetup::checkConfig( null );
		PasswordSetup::checkConfig( [ 'primaryauth' => [ $ours ] ] );
		$refused = 0;
		foreach ( [
			[ 'preauth' => [] ],
			[ 'primaryauth' => [] ],
			[ 'primaryauth' => [ $ours, [ 'class' => LocalPasswordPrimaryAuthenticationProvider::class ] ] ],
			[ 'primaryauth' => [ [ 'class' => TemporaryPasswordPrimaryAuthenticationProvider::class ], $ours ] ],
		] as $config ) {
			try {
				PasswordSetup::checkConfig( $config );
			} catch ( RuntimeException $e ) {
				$refused++;
			}
		}
		$this->assertSame( 4, $refused );
	}

	public static function provideWrongParams(): array {
		return [ [ [ 'local' => 'always' ], 'local' ], [ [ 'local' => true ], 'local' ], [ [ 'prefix' => '' ], 'prefix' ] ];
	}

	/** @dataProvider provideWrongParams */
	public function testConfiguration_RefusesMistakes( array $params, string $named ) {
		$this->expectException( InvalidArgumentException::class );
		$this->expectExceptionMessage( "$named of \$wgUserInfoPasswords" );
		$this->newService( 'https://127.0.0.1/passwords/v1/', $params );
	}

	public function testResetCode_IsNoPasswordByChance() {
		$token = str_repeat( '0123456789', 4 );
		$this->assertSame( $token, ResetCode::parse( ResetCode::format( $token ) ) );
		$this->assertSame( $token, ResetCode::parse( " reset-$token\n" ) );
		foreach ( [ '', 'reset-', "reset-{$token}0", substr( "reset-$token", 0, -1 ), $token, "Reset-$token", 'reset-' . str_repeat( 'g', 40 ) ] as $text ) {
			$this->assertNull( ResetCode::parse( $text ), $text );
		}
	}
}
