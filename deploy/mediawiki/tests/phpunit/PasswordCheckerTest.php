<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use MediaWiki\Extension\UserInfo\LocalPasswords;
use MediaWiki\Extension\UserInfo\PasswordChecker;
use MediaWiki\Extension\UserInfo\PasswordResult;
use MediaWiki\Extension\UserInfo\PasswordService;

/**
 * When a hash in the wiki's database counts. The service is a scripted server, and every local hash agrees with every
 * password.
 *
 * @covers \MediaWiki\Extension\UserInfo\PasswordChecker
 * @covers \MediaWiki\Extension\UserInfo\LocalPasswords
 */
class PasswordCheckerTest extends UserInfoTestCase {
	private function newChecker( string $answer, string $local ): PasswordChecker {
		$service = new PasswordService( [
			'url' => $this->newFakeUrl( $answer ), 'prefix' => 'enwiki:', 'caBundlePath' => getenv( 'USERINFO_FAKE_CA' ), 'local' => $local,
		], $this->log );
		return new PasswordChecker( $service, static function ( string $hash ) {
			return new class( $hash ) {
				private string $hash;

				public function __construct( string $hash ) {
					$this->hash = $hash;
				}

				public function verify( string $password ): bool {
					return $this->hash !== '';
				}
			};
		} );
	}

	private static function row( array $fields = [] ): object {
		return (object)( $fields + [ 'user_id' => '7', 'user_password' => ':A:x', 'user_token' => 'abc' ] );
	}

	public static function provideAnswers(): array {
		return [
			[ '204', 'never', true ],
			[ '403-wrong-password', 'never', false ],
			[ '503-unavailable', 'never', false ],
			[ '503-unavailable', 'wrong', false ],
			[ '503-unavailable', 'unavailable', true ],
			[ '429-too-many-requests', 'unavailable', false ],
			[ '503-not-everywhere', 'wrong', false ],
			[ '403-forbidden', 'wrong', false ],
			[ '429-too-many-guesses', 'unavailable', false ],
			[ '422-weak-password', 'unavailable', false ],
			[ '400-bad-request', 'unavailable', false ],
			// The scripted server does not create users either, so the local hash alone never suffices.
			[ '403-wrong-password', 'wrong', false ],
			[ '403-wrong-password', 'unavailable', false ],
		];
	}

	/** @dataProvider provideAnswers */
	public function testCheck_FailsClosed( string $answer, string $local, bool $want ) {
		$checker = $this->newChecker( $answer, $local );
		$this->assertSame( $want, $checker->check( 'Alice', self::row(), 'p', '192.0.2.1' )->isOK() );
		$renamed = self::row( [ 'user_password' => LocalPasswords::RENAMED ] );
		foreach ( [ null, $renamed, self::row( [ 'user_token' => '*** INVALID ***' ] ) ] as $row ) {
			$this->assertFalse( $checker->check( 'Alice', $row, 'p', '192.0.2.1' )->isOK() );
			$this->assertFalse( $checker->change( 'Alice', $row, 'p', 'q', '192.0.2.1' )->isOK() );
			$this->assertFalse( $row && $checker->checkCurrent( 'Alice', $row, 'p', '192.0.2.1' )->isOK() );
		}
		$this->assertSame( $answer === '204', $checker->check( 'Alice', self::row( [ 'user_password' => '' ] ), 'p', '192.0.2.1' )->isOK() );
	}

	public function testCheckCurrent_TakesLocalHashIfServiceSaysWrongOnly() {
		foreach ( [ 'never' => false, 'wrong' => true, 'unavailable' => true ] as $local => $want ) {
			$checker = $this->newChecker( '403-wrong-password', $local );
			$this->assertSame( $want, $checker->checkCurrent( 'Alice', self::row(), 'p', '192.0.2.1' )->isOK(), $local );
			$checker = $this->newChecker( '503-unavailable', $local );
			$this->assertFalse( $checker->checkCurrent( 'Alice', self::row(), 'p', '192.0.2.1' )->isOK(), $local );
			$this->assertSame( PasswordResult::UNKNOWN, $checker->change( 'Alice', self::row(), 'p', 'q', '192.0.2.1' )->kind );
		}
	}

	public function testRow_OfSystemUserOrNobodyIsNotUsable() {
		$this->assertFalse( LocalPasswords::isUsable( null ) );
		$this->assertFalse( LocalPasswords::isUsable( self::row( [ 'user_token' => '*** INVALID ***' ] ) ) );
		$this->assertFalse( LocalPasswords::isUsable( self::row( [ 'user_token' => '*** INVALID ***                 ' ] ) ) );
		$this->assertTrue( LocalPasswords::isUsable( self::row() ) );
		$this->assertTrue( LocalPasswords::mayLogIn( self::row() ) );
		$this->assertFalse( LocalPasswords::mayLogIn( self::row( [ 'user_password' => LocalPasswords::RENAMED ] ) ) );
		$this->assertFalse( LocalPasswords::mayLogIn( self::row( [ 'user_token' => '*** INVALID ***' ] ) ) );
		$this->assertFalse( LocalPasswords::mayLogIn( null ) );
	}

	public function testHash_WithoutTypeGetsOne() {
		$md5 = md5( 'p' );
		$this->assertSame( ":B:7:$md5", LocalPasswords::getHash( self::row( [ 'user_password' => $md5 ] ) ) );
		foreach ( [ '', ':A:x', "$md5\n", "x$md5" ] as $hash ) {
			$this->assertSame( $hash, LocalPasswords::getHash( self::row( [ 'user_password' => $hash ] ) ) );
		}
	}
}
