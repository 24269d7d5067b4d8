<?php
/**
 * Checks what MediaWiki's own session client, RESTBagOStuff, expects of a running UserInfo. Prints one TAP line per check.
 *
 *   php client.php main    the service answers
 *   php client.php down    the service does not answer, whether or not it accepts connections
 *
 * Exit status: 0 all checks passed, 1 a check failed, 2 the checks could not run. Environment variables:
 *
 *   MW_INSTALL_PATH      directory of MediaWiki
 *   USERINFO_URL         URL of the collection, for example https://127.0.0.1:8443/sessions/v1
 *   USERINFO_CA          file with the CA's certificate
 *   USERINFO_TOKEN_FILE  file with the line "Authorization: Bearer …" of a client that may get, set and delete every key
 *   USERINFO_FLAVOUR     put: the default of RESTBagOStuff; kask: POST, the configuration for Kask
 *   USERINFO_KEYS        any; or text if the collection's keys must be UTF-8, as in Kask's layout
 *
 * Every run uses new keys, so several runs can use the same service. The values that a run leaves behind expire.
 */

declare( strict_types = 1 );

// MediaWiki's timeout is 3.0 s. The rest is for a busy machine.
const MAX_SECONDS = 4.0;

function abort_run( string $why ): void {
	file_put_contents( 'php://stderr', "client.php: $why\n" ); // the constant STDERR does not exist if the script is read from stdin
	exit( 2 );
}

foreach ( [ '/includes/AutoLoader.php', '/vendor/autoload.php' ] as $file ) {
	if ( !is_file( getenv( 'MW_INSTALL_PATH' ) . $file ) ) {
		abort_run( 'MW_INSTALL_PATH must be the directory of MediaWiki; internal/testenv/mediawiki.sh prints one' );
	}
	require getenv( 'MW_INSTALL_PATH' ) . $file;
}
if ( !extension_loaded( 'curl' ) ) {
	abort_run( 'the curl extension is missing: install php-curl' );
}
if ( class_exists( Wikimedia\ObjectCache\RESTBagOStuff::class ) ) { // 1.43
	class_alias( Wikimedia\ObjectCache\BagOStuff::class, 'Bag' );
	class_alias( Wikimedia\ObjectCache\RESTBagOStuff::class, 'RestBag' );
} else {
	class_alias( BagOStuff::class, 'Bag' );
	class_alias( RESTBagOStuff::class, 'RestBag' );
}

/** Keeps the last failure that the client logged: the HTTP status, or 0 without a response, and curl's reason. */
final class FailureLog extends Psr\Log\AbstractLogger {
	public ?int $status = null;
	public string $reason = '';

	public function log( $level, $message, array $context = [] ): void {
		if ( isset( $context['code'] ) ) {
			$this->status = $context['code'];
			$this->reason = (string)$context['error'];
		}
	}
}

/** The result of one call. */
final class Outcome {
	public function __construct(
		public readonly mixed $value,
		public readonly int $error, // a Bag::ERR_* constant
		public readonly ?int $status, // HTTP status of a logged failure; null: no failure was logged
		public readonly string $reason,
		public readonly float $seconds
	) {
	}

	public function isMiss(): bool {
		return $this->value === false && $this->error === Bag::ERR_NONE && $this->status === null;
	}

	public function isDone(): bool {
		return $this->value === true && $this->error === Bag::ERR_NONE;
	}

	public function isValue( mixed $want ): bool {
		return $this->value === $want && $this->error === Bag::ERR_NONE;
	}

	public function isRefused( int $status ): bool {
		return $this->value === false && $this->error === Bag::ERR_UNEXPECTED && $this->status === $status;
	}

	public function isUnreachable(): bool {
		return $this->value === false && $this->error === Bag::ERR_UNREACHABLE && $this->status === 0;
	}

	public function __toString(): string {
		$value = is_bool( $this->value ) ? var_export( $this->value, true ) : get_debug_type( $this->value );
		return sprintf( 'returned %s, error %d, logged status %s %s, took %.2f s',
			$value, $this->error, $this->status ?? '(none)', $this->reason, $this->seconds );
	}
}

/** A RESTBagOStuff with a wiki's configuration. It has its own persistent connection. */
final class Wiki {
	private RestBag $bag;
	private FailureLog $log;

	public function __construct( array $params ) {
		$this->log = new FailureLog;
		$this->bag = new RestBag( $params + [ 'keyspace' => 'enwiki', 'logger' => $this->log ] );
	}

	/** Returns a new session key in MediaWiki's format. */
	public function newKey(): string {
		return $this->bag->makeKey( 'MWSession', bin2hex( random_bytes( 16 ) ) );
	}

	public function get( string $key ): Outcome {
		return $this->call( fn () => $this->bag->get( $key ) );
	}

	public function set( string $key, mixed $value ): Outcome {
		return $this->call( fn () => $this->bag->set( $key, $value, 3600 ) );
	}

	public function delete( string $key ): Outcome {
		return $this->call( fn () => $this->bag->delete( $key ) );
	}

	private function call( callable $operation ): Outcome {
		$this->log->status = null;
		$this->log->reason = '';
		$since = $this->bag->watchErrors();
		$start = hrtime( true );
		$value = $operation();
		$seconds = ( hrtime( true ) - $start ) / 1e9;
		return new Outcome( $value, $this->bag->getLastError( $since ), $this->log->status, $this->log->reason, $seconds );
	}
}

/** Prints checks in the Test Anything Protocol. */
final class Tap {
	private int $checks = 0;
	private int $failed = 0;

	/** $seen describes what happened instead. It must not contain a key, a value or a token. */
	public function check( string $description, bool $passed, string|Outcome $seen = '' ): void {
		$this->checks++;
		if ( $passed ) {
			echo "ok $this->checks - $description\n";
			return;
		}
		$this->failed++;
		echo "not ok $this->checks - $description\n# $seen\n";
	}

	public function finish(): void {
		echo "1..$this->checks\n";
		exit( $this->failed === 0 ? 0 : 1 );
	}
}

/** The configuration from the environment variables. */
final class Setting {
	public readonly string $url;
	public readonly string $ca;
	public readonly string $authorization;
	public readonly bool $kask;
	public readonly bool $textKeys;

	public function __construct() {
		$this->url = self::need( 'USERINFO_URL' );
		$this->ca = self::need( 'USERINFO_CA' );
		$line = @file_get_contents( self::need( 'USERINFO_TOKEN_FILE' ) );
		if ( $line === false || !preg_match( '/^Authorization: (Bearer \S+)\s*$/', $line, $found ) ) {
			abort_run( 'the file of USERINFO_TOKEN_FILE must contain one line, "Authorization: Bearer …"' );
		}
		$this->authorization = $found[1];
		$this->kask = self::oneOf( 'USERINFO_FLAVOUR', 'put', 'kask' ) === 'kask';
		$this->textKeys = self::oneOf( 'USERINFO_KEYS', 'any', 'text' ) === 'text';
	}

	private static function need( string $name ): string {
		$value = getenv( $name );
		if ( $value === false || $value === '' ) {
			abort_run( "set $name, see the beginning of client.php" );
		}
		return $value;
	}

	private static function oneOf( string $name, string ...$values ): string {
		$value = self::need( $name );
		if ( !in_array( $value, $values, true ) ) {
			abort_run( "$name must be one of: " . implode( ', ', $values ) );
		}
		return $value;
	}

	/** Returns $wgObjectCaches['sessions'] for this flavour. */
	public function params( ?string $authorization ): array {
		$headers = $authorization === null ? [] : [ 'Authorization' => $authorization ];
		$http = [ 'readHeaders' => $headers, 'writeHeaders' => $headers, 'deleteHeaders' => $headers ];
		if ( $this->kask ) {
			$http['writeMethod'] = 'POST';
			$http['writeHeaders'] += [ 'content-type' => 'application/octet-stream' ];
		}
		return [
			'url' => $this->url, 'caBundlePath' => $this->ca, 'httpParams' => $http,
			'extendedErrorBodyFields' => $this->kask ? [ 'type', 'title', 'detail', 'instance' ] : [],
		];
	}

	public function wiki( array $overrides = [] ): Wiki {
		return new Wiki( $overrides + $this->params( $this->authorization ) );
	}
}

/** Returns a session in MediaWiki's format. */
function session( string $user ): array {
	return [
		'data' => [
			'wsUserID' => 4711, 'wsUserName' => $user, 'wsToken' => bin2hex( random_bytes( 16 ) ),
			'wsSessionSecrets' => [ 'wsTokenSecrets' => [ 'default' => bin2hex( random_bytes( 16 ) ) ] ],
		],
		'metadata' => [
			'userId' => 4711, 'userName' => $user, 'userVerified' => true, 'provider' => 'CookieSessionProvider',
			'providerMetadata' => null, 'remembered' => false, 'forceHTTPS' => false, 'expires' => time() + 3600,
			'persisted' => true,
		],
	];
}

function check_session_lifecycle( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$key = $wiki->newKey();
	$first = session( 'Alice' );
	$second = session( 'Bob' );
	$outcome = $wiki->get( $key );
	$tap->check( 'a key that was never set is a miss, and no error', $outcome->isMiss(), $outcome );
	$outcome = $wiki->set( $key, $first );
	$tap->check( 'a session is set', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->check( 'a get returns the value that was set', $outcome->isValue( $first ), $outcome );
	$outcome = $setting->wiki()->get( $key );
	$tap->check( 'a get on another connection returns the value', $outcome->isValue( $first ), $outcome );
	$outcome = $wiki->set( $key, $second );
	$tap->check( 'a session is overwritten', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->check( 'a get returns the new value', $outcome->isValue( $second ), $outcome );
	$outcome = $wiki->delete( $key );
	$tap->check( 'a session is deleted', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->check( 'a deleted session is a miss, and no error', $outcome->isMiss(), $outcome );
	$outcome = $wiki->delete( $key );
	$tap->check( 'a session is deleted again', $outcome->isDone(), $outcome );
	$outcome = $wiki->set( $key, $first );
	$tap->check( 'a set of a session that was just deleted is refused (409)', $outcome->isRefused( 409 ), $outcome );
	$outcome = $wiki->get( $key );
	$tap->check( 'and the session stays deleted', $outcome->isMiss(), $outcome );
	$outcome = $wiki->delete( $wiki->newKey() );
	$tap->check( 'a key that was never set is deleted', $outcome->isDone(), $outcome );
}

/** Returns keys that a careless server would change, confuse or reject. N stands for a part that is new in each run. */
function awkward_keys(): array {
	return [
		'colons' => 'enwiki:MWSession:N', 'a slash' => 'a/N', 'a slash in front' => '/N', 'a slash at the end' => 'N/',
		'two slashes' => 'a//N', 'two slashes in front' => '//N', 'an escaped slash' => 'a%2FN',
		'a twice escaped slash' => 'a%252FN', 'a per cent sign' => '100%N', 'per cent and no hexadecimal' => '%zzN',
		'..' => '../N', '.. in the middle' => 'a/../N', '.. at the end' => 'N/..', '. in the middle' => 'a/./N',
		'escaped ..' => '%2e%2e/N', 'dots in front' => '..N', 'a space' => 'a N', 'a space in front' => ' N',
		'a space at the end' => 'N ', 'a plus' => 'a+N', 'a question mark' => 'a?N=1', 'a hash' => 'a#N',
		'an ampersand' => 'a&N', 'a semicolon' => 'a;N', 'quotes' => "\"'`N", 'a backslash' => 'a\\N',
		'angle brackets' => '<script>N', 'a line end' => "a\r\nX: N", 'NUL' => "a\0N", 'NUL at the end' => "N\0",
		'DEL' => "\x7fN", 'a tilde' => '~N', 'a URL' => 'https://user@host:1/N?x#y', 'lower case' => 'straßeN',
		'upper case' => 'STRASSEN N', 'composed unicode' => "\u{e9}N", 'decomposed unicode' => "e\u{301}N",
		'four-byte unicode' => "\u{1f511}N", 'right to left' => "\u{202e}\u{5d0}N", 'a BOM' => "\u{feff}N",
		'4,096 bytes' => str_repeat( 'N', 256 ),
	];
}

function check_keys( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$new = bin2hex( random_bytes( 8 ) ); // 16 bytes, 256 times in the longest key
	$keys = array_map( fn ( $key ) => str_replace( 'N', $new, $key ), awkward_keys() );
	$set = [];
	foreach ( $keys as $what => $key ) {
		$set[$what] = $wiki->set( $key, "of $what" );
	}
	// After all sets, so that two keys that the service confuses are found.
	foreach ( $keys as $what => $key ) {
		$get = $wiki->get( $key );
		$tap->check( "a key with $what has its own value",
			$set[$what]->isDone() && $get->isValue( "of $what" ), "set {$set[$what]}; get $get" );
	}
	$gone = array_filter( $keys, fn ( $key ) => $wiki->delete( $key )->isDone() && $wiki->get( $key )->isMiss() );
	$tap->check( 'each of these keys is deleted', count( $gone ) === count( $keys ),
		'not: a key with ' . implode( ', a key with ', array_keys( array_diff_key( $keys, $gone ) ) ) );
	check_bytes( $tap, $setting, $wiki, bin2hex( random_bytes( 8 ) ) );

	$long = str_pad( $new, 4097, 'x' );
	$outcomes = [ 'set' => $wiki->set( $long, 'x' ), 'get' => $wiki->get( $long ), 'delete' => $wiki->delete( $long ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->check( "a $what of a key of 4,097 bytes is an error and not a miss (414)", $outcome->isRefused( 414 ), $outcome );
	}
	foreach ( [ '.', '..' ] as $dots ) {
		$outcome = $wiki->set( $dots, 'x' );
		$tap->check( "the key $dots, which libcurl removes from the path, is refused and is no other key",
			$outcome->isRefused( 404 ), $outcome );
	}
}

/** Checks that each byte makes a different key. If keys must be UTF-8, it uses the ASCII characters only. */
function check_bytes( Tap $tap, Setting $setting, Wiki $wiki, string $new ): void {
	$bytes = range( 0, $setting->textKeys ? 127 : 255 );
	$set = array_filter( $bytes, fn ( $byte ) => $wiki->set( chr( $byte ) . $new, $byte )->isDone() );
	$got = array_filter( $bytes, fn ( $byte ) => $wiki->get( chr( $byte ) . $new )->isValue( $byte ) );
	$tap->check( 'each of ' . count( $bytes ) . ' bytes makes a key of its own', $set === $bytes && $got === $bytes,
		'not: ' . implode( ' ', array_diff( $bytes, array_intersect( $set, $got ) ) ) );
	$all = implode( '', array_map( 'chr', $bytes ) ) . $new;
	$done = $wiki->set( $all, 'all' );
	$got = $wiki->get( $all );
	$tap->check( 'one key may contain all of these bytes', $done->isDone() && $got->isValue( 'all' ), "set $done; get $got" );
	if ( $setting->textKeys ) {
		$outcomes = [ 'set' => $wiki->set( "\xff$new", 'x' ), 'get' => $wiki->get( "\xff$new" ) ];
		foreach ( $outcomes as $what => $outcome ) {
			$tap->check( "a $what of a key that is not UTF-8 is an error and not a miss (400)", $outcome->isRefused( 400 ), $outcome );
		}
	}
}

function check_values( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$values = [
		'an empty string' => '', 'zero' => 0, 'a large integer' => PHP_INT_MIN, 'a fraction' => 0.1, 'true' => true,
		'null' => null, 'an empty array' => [], 'a deep array' => [ [ [ [ 'x' => [ 1.5, null, false, "\0" ] ] ] ] ],
		'an array of mixed keys' => [ 7 => 'seven', 'ü' => 'umlaut', '' => 'empty', -1 => [ true ] ],
		'every byte' => implode( '', array_map( 'chr', range( 0, 255 ) ) ), 'line ends' => "\r\n\r\n0\r\n\r\n",
		'text like a form' => 'a=b&c=%20d+e', 'text like a file name' => '@/etc/passwd', 'unicode' => "\u{1f511} ключ",
		'500 kB of random bytes' => random_bytes( 500_000 ), '500 kB of NUL' => str_repeat( "\0", 500_000 ),
	];
	foreach ( $values as $what => $value ) {
		$key = $wiki->newKey();
		$set = $wiki->set( $key, $value );
		$get = $wiki->get( $key );
		$tap->check( "a value that is $what is returned unchanged", $set->isDone() && $get->isValue( $value ),
			"set $set; get $get" );
	}
	$signed = $setting->wiki( [ 'serialization_type' => 'JSON', 'hmac_key' => 'of the wiki' ] );
	$key = $signed->newKey();
	$session = session( 'Çelik' );
	$set = $signed->set( $key, $session );
	$get = $signed->get( $key );
	$tap->check( 'a session in signed JSON is returned unchanged', $set->isDone() && $get->isValue( $session ), "set $set; get $get" );

	$key = $wiki->newKey();
	$outcome = $wiki->set( $key, str_repeat( 'x', 2 << 20 ) );
	$tap->check( 'a value of 2 MiB is refused (413)', $outcome->isRefused( 413 ), $outcome );
	$outcome = $wiki->get( $key );
	$tap->check( 'and not stored', $outcome->isMiss(), $outcome );
	$outcome = $wiki->set( $key, 'small' );
	$tap->check( 'and the client can continue', $outcome->isDone(), $outcome );
}

function check_form_content_type( Tap $tap, Setting $setting ): void {
	$params = $setting->params( $setting->authorization );
	unset( $params['httpParams']['writeHeaders']['content-type'] );
	$wiki = new Wiki( $params );
	$key = $wiki->newKey();
	$set = $wiki->set( $key, 'a=b&c=%20d+e' );
	$get = $wiki->get( $key );
	$tap->check( 'a POST with the content type of a form is stored unchanged', $set->isDone() && $get->isValue( 'a=b&c=%20d+e' ),
		"set $set; get $get" );
}

/** Uses an existing key, so that a refusal cannot be mistaken for a miss. */
function check_errors( Tap $tap, Setting $setting ): void {
	$trusted = $setting->wiki();
	$key = $trusted->newKey();
	$trusted->set( $key, 'kept' );
	$wrong = preg_replace_callback( '/.$/', fn ( $last ) => $last[0] === 'A' ? 'B' : 'A', $setting->authorization );
	foreach ( [ 'a wrong token' => $wrong, 'no token' => null ] as $what => $authorization ) {
		$stranger = new Wiki( $setting->params( $authorization ) );
		$outcome = $stranger->get( $key );
		$tap->check( "a get with $what is an error and not a miss (401)", $outcome->isRefused( 401 ), $outcome );
		$outcome = $stranger->set( $key, 'changed' );
		$tap->check( "a set with $what is an error (401)", $outcome->isRefused( 401 ), $outcome );
		$outcome = $stranger->delete( $key );
		$tap->check( "a delete with $what is an error (401)", $outcome->isRefused( 401 ), $outcome );
	}
	// Without caBundlePath, the client trusts the system's CAs.
	$elsewhere = $setting->params( $setting->authorization );
	unset( $elsewhere['caBundlePath'] );
	$careful = new Wiki( $elsewhere );
	$outcomes = [ 'get' => $careful->get( $key ), 'set' => $careful->set( $key, 'changed' ), 'delete' => $careful->delete( $key ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->check( "a $what by a client that does not know the CA is an error and not a miss",
			$outcome->isUnreachable() && str_contains( $outcome->reason, '(curl error: 60)' ), $outcome );
	}
	$outcome = $trusted->get( $key );
	$tap->check( 'none of these calls has changed the value', $outcome->isValue( 'kept' ), $outcome );
}

function check_no_answer( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$key = $wiki->newKey();
	$outcomes = [ 'get' => $wiki->get( $key ), 'set' => $wiki->set( $key, 'x' ), 'delete' => $wiki->delete( $key ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->check( "a $what is an error and not a miss", $outcome->isUnreachable(), $outcome );
		$tap->check( 'and is reported within 3 s', $outcome->seconds < MAX_SECONDS, $outcome );
	}
}

$tap = new Tap;
$setting = new Setting;
switch ( $argv[1] ?? '' ) {
	case 'main':
		check_session_lifecycle( $tap, $setting );
		check_keys( $tap, $setting );
		check_values( $tap, $setting );
		if ( $setting->kask ) {
			check_form_content_type( $tap, $setting );
		}
		check_errors( $tap, $setting );
		break;
	case 'down':
		check_no_answer( $tap, $setting );
		break;
	default:
		abort_run( 'use main or down' );
}
$tap->finish();
