<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use MediaWiki\Extension\UserInfo\UserInfoBagOStuff;

/**
 * What MediaWiki expects of every BagOStuff, against the running service.
 *
 * @covers \MediaWiki\Extension\UserInfo\UserInfoBagOStuff
 */
class BagOStuffContractTest extends UserInfoTestCase {
	private UserInfoBagOStuff $bag;

	protected function setUp(): void {
		parent::setUp();
		$this->bag = $this->newBag();
	}

	protected function tearDown(): void {
		$this->assertSame( '', $this->log->text(), 'nothing is logged if nothing fails' );
		parent::tearDown();
	}

	public function testGet_OfNewKeyIsMissAndNoError() {
		$before = $this->bag->watchErrors();
		$this->assertFalse( $this->bag->get( $this->newKey() ) );
		$this->assertSame( UserInfoBagOStuff::ERR_NONE, $this->bag->getLastError( $before ) );
	}

	public static function provideValues(): array {
		return [
			'a string' => [ 'text' ], 'an empty string' => [ '' ], 'zero' => [ 0 ], 'an integer' => [ PHP_INT_MIN ],
			'a fraction' => [ 0.1 ], 'true' => [ true ], 'null' => [ null ], 'an empty array' => [ [] ],
			'an array of mixed keys' => [ [ 7 => 'seven', 'ü' => 'umlaut', '' => 'empty' ] ],
			'a deep array' => [ [ [ [ 'x' => [ 1.5, null, false ] ] ] ] ],
			'every byte' => [ implode( '', array_map( 'chr', range( 0, 255 ) ) ) ],
			'dots' => [ 'PHP..' ], 'an at sign' => [ '@/etc/passwd' ],
			'500 kB' => [ str_repeat( 'x', 500000 ) ],
		];
	}

	/** @dataProvider provideValues */
	public function testSet_KeepsValueAndType( $value ) {
		$key = $this->newKey();
		$this->assertTrue( $this->bag->set( $key, $value, 60 ) );
		$this->assertSame( $value, $this->bag->get( $key ) );
	}

	public function testSet_Overwrites() {
		$key = $this->newKey();
		$this->assertTrue( $this->bag->set( $key, 'first', 60 ) );
		$this->assertTrue( $this->bag->set( $key, 'second', 60 ) );
		$this->assertSame( 'second', $this->bag->get( $key ) );
	}

	public static function provideKeys(): array {
		$keys = [
			'enwiki:MWSession:N', 'a/N', '/N', 'N/', '//N', 'a%2FN', '100%N', '../N', 'a/../N', 'N/..', 'a N', 'a+N', 'a?N=1', 'a#N', 'a&N',
			"a\r\nX: N", "a\0N", "\xffN", 'straßeN', str_repeat( 'N', 256 ),
		];
		return array_combine( array_map( static fn ( $key ) => addcslashes( $key, "\0..\37\177..\377" ), $keys ), array_map( static fn ( $key ) => [ $key ], $keys ) );
	}

	/** @dataProvider provideKeys */
	public function testSet_AcceptsEveryKey( string $key ) {
		$key = str_replace( 'N', bin2hex( random_bytes( 8 ) ), $key );
		$this->assertTrue( $this->bag->set( $key, 'value', 60 ) );
		$this->assertSame( 'value', $this->bag->get( $key ) );
		$this->assertTrue( $this->bag->delete( $key ) );
		$this->assertFalse( $this->bag->get( $key ) );
	}

	public function testSet_AcceptsDots() {
		$this->assertTrue( $this->bag->set( '..', 'two', 60 ) );
		$this->assertTrue( $this->bag->set( '.', 'one', 60 ) );
		$this->assertSame( [ '..' => 'two', '.' => 'one' ], $this->bag->getMulti( [ '..', '.' ] ) );
	}

	public function testDelete_RemovesValueAndAcceptsMissingKey() {
		$key = $this->newKey();
		$this->bag->set( $key, 'value', 60 );
		$this->assertTrue( $this->bag->delete( $key ) );
		$this->assertFalse( $this->bag->get( $key ) );
		$this->assertTrue( $this->bag->delete( $key ) );
		$this->assertTrue( $this->bag->delete( $this->newKey() ) );
	}

	public function testAdd_SetsOnlyNewKeys() {
		$key = $this->newKey();
		$this->assertTrue( $this->bag->add( $key, 'first', 60 ) );
		$this->assertFalse( $this->bag->add( $key, 'second', 60 ) );
		$this->assertSame( 'first', $this->bag->get( $key ) );
	}

	public function testGetWithSetCallback_CallsOnce() {
		$key = $this->newKey();
		$calls = 0;
		$callback = static function () use ( &$calls ) {
			$calls++;
			return 'made';
		};
		$this->assertSame( 'made', $this->bag->getWithSetCallback( $key, 60, $callback ) );
		$this->assertSame( 'made', $this->bag->getWithSetCallback( $key, 60, $callback ) );
		$this->assertSame( 1, $calls );
	}

	public function testMerge_CreatesAndChanges() {
		$key = $this->newKey();
		$append = static fn ( $bag, $key, $old ) => ( $old === false ? '' : $old ) . 'x';
		$this->assertTrue( $this->bag->merge( $key, $append, 60 ) );
		$this->assertTrue( $this->bag->merge( $key, $append, 60 ) );
		$this->assertSame( 'xx', $this->bag->get( $key ) );
	}

	public function testMerge_FailsIfValueChangedMeanwhile() {
		$key = $this->newKey();
		$calls = 0;
		$conflict = static function ( $bag, $key, $old ) use ( &$calls ) {
			$calls++;
			$bag->set( $key, "conflict $calls", 60 );
			return "merged $calls";
		};
		$this->bag->set( $key, 'old', 60 );
		$this->assertFalse( $this->bag->merge( $key, $conflict, 60, 1 ) );
		$this->assertSame( 1, $calls );
		$this->assertSame( 'conflict 1', $this->bag->get( $key ) );
		$this->log->lines = []; // 1.39 logs the race
	}

	public function testMerge_DoesNothingIfCallbackReturnsFalse() {
		$key = $this->newKey();
		$this->assertTrue( $this->bag->merge( $key, static fn () => false, 60 ) );
		$this->assertFalse( $this->bag->get( $key ) );
	}

	public function testChangeTTL_TellsWhetherKeyExists() {
		$key = $this->newKey();
		$this->assertFalse( $this->bag->changeTTL( $key, 60 ) );
		$this->bag->set( $key, 'value', 60 );
		foreach ( [ 120, 120, 0, time() + 86400 ] as $expiry ) {
			$this->assertTrue( $this->bag->changeTTL( $key, $expiry ), "to $expiry" );
		}
		$this->assertSame( 'value', $this->bag->get( $key ) );
		$this->bag->delete( $key );
		$this->assertFalse( $this->bag->changeTTL( $key, 60 ) );
	}

	public function testChangeTTL_ToPastExpiresAtOnce() {
		foreach ( [ -3600, time() - 3600 ] as $expiry ) {
			$key = $this->newKey();
			$this->bag->set( $key, 'value', 60 );
			$this->assertTrue( $this->bag->changeTTL( $key, $expiry ) );
			$this->assertFalse( $this->bag->get( $key ) );
			$this->assertFalse( $this->bag->changeTTL( $key, $expiry ) );
		}
	}

	public function testMulti_GetsSetsTouchesAndDeletes() {
		$values = [];
		foreach ( [ 'text', [ 'a' => 1 ], 4, null ] as $value ) {
			$values[$this->newKey()] = $value;
		}
		$keys = array_keys( $values );
		$missing = $this->newKey();
		$this->assertFalse( $this->bag->changeTTLMulti( $keys, 30 ) );
		$this->assertTrue( $this->bag->setMulti( $values, 60 ) );
		$this->assertSame( $values, $this->bag->getMulti( [ ...$keys, $missing ] ) );
		$this->assertTrue( $this->bag->changeTTLMulti( $keys, 300 ) );
		$this->assertFalse( $this->bag->changeTTLMulti( [ ...$keys, $missing ], 300 ) );
		$this->assertTrue( $this->bag->deleteMulti( [ ...$keys, $missing ] ) );
		$this->assertSame( [], $this->bag->getMulti( $keys ) );
	}

	public function testIncr_ChangesIntegersOnly() {
		$key = $this->newKey();
		$this->assertFalse( $this->bag->incr( $key ) );
		$this->bag->set( $key, 5, 60 );
		$this->assertSame( 6, $this->bag->incr( $key ) );
		$this->assertSame( 3, $this->bag->decr( $key, 3 ) );
		$this->assertSame( 0, $this->bag->decr( $key, 9 ) );
		$this->assertSame( 0, $this->bag->get( $key ) );
		$this->bag->set( $key, 'text', 60 );
		$this->assertFalse( $this->bag->incr( $key ) );
	}

	public function testIncrWithInit_CreatesAndAdds() {
		$key = $this->newKey();
		$this->assertSame( 3, $this->bag->incrWithInit( $key, 60, 1, 3 ) );
		$this->assertSame( 4, $this->bag->incrWithInit( $key, 60, 1, 3 ) );
		$this->assertSame( 5, $this->bag->incrWithInit( $this->newKey(), 60, 5 ) );
	}

	public function testLock_ExcludesOthersUntilUnlock() {
		$key = $this->newKey();
		$other = $this->newBag();
		$this->assertTrue( $this->bag->lock( $key, 0 ) );
		$this->assertFalse( $this->bag->lock( $key, 0 ) );
		$this->assertFalse( $other->lock( $key, 0 ) );
		$this->log->lines = []; // MediaWiki logs the lock that timed out
		$this->assertTrue( $this->bag->unlock( $key ) );
		$this->assertTrue( $other->lock( $key, 0 ), 'a lock is free again at once: its key is exempt from the fence' );
		$this->assertTrue( $other->unlock( $key ) );
		$this->assertTrue( $this->bag->lock( $key, 5, 5, 'class' ) );
		$this->assertTrue( $this->bag->lock( $key, 5, 5, 'class' ) );
		$this->assertTrue( $this->bag->unlock( $key ) );
		$this->assertTrue( $this->bag->unlock( $key ) );
	}

	public function testGetScopedLock_EndsWithItsScope() {
		$key = $this->newKey();
		$lock = $this->bag->getScopedLock( $key, 0 );
		$this->assertNotNull( $lock );
		$this->assertNull( $this->bag->getScopedLock( $key, 0 ) );
		unset( $lock );
		$lock = $this->bag->getScopedLock( $key, 0 );
		$this->assertNotNull( $lock );
		unset( $lock );
	}

	public function testSegments_AreNotNeeded() {
		$key = $this->newKey();
		$value = str_repeat( 'x', 900000 );
		$this->assertTrue( $this->bag->set( $key, $value, 60, UserInfoBagOStuff::WRITE_ALLOW_SEGMENTS ) );
		$this->assertSame( $value, $this->bag->get( $key ) );
		$this->assertTrue( $this->bag->delete( $key, UserInfoBagOStuff::WRITE_ALLOW_SEGMENTS ) );
		$this->assertFalse( $this->bag->get( $key ) );
	}

	public function testGetQoS_IsThatOfStockClass() {
		$flag = UserInfoBagOStuff::ATTR_DURABILITY;
		$this->assertSame( $this->newStockBag()->getQoS( $flag ), $this->bag->getQoS( $flag ) );
	}
}
