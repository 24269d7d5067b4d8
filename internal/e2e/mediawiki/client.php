<?php
/**
 * What MediaWiki's own session client, RESTBagOStuff, is promised by a running UserInfo: one TAP line per claim.
 *
 *   php client.php main    the service answers
 *   php client.php down    it does not: nothing listens, or something does and never answers
 *
 * Exit status 0 means that all claims hold, 1 that one does not, 2 that nothing could be claimed. From the environment:
 *
 *   USERINFO_URL         of the collection, such as https://127.0.0.1:8443/sessions/v1
 *   USERINFO_CA          file with the CA's certificate
 *   USERINFO_TOKEN_FILE  file with the line "Authorization: Bearer …" of a client that may get, set and delete every key
 *   USERINFO_FLAVOUR     put: RESTBagOStuff's default; kask: POST, as Kask's clients are configured
 *   USERINFO_KEYS        any; or text where the collection's keys must be UTF-8, as in Kask's layout
 *
 * Every run makes keys of its own, so that runs may share a service; the values it leaves behind expire.
 */

declare( strict_types = 1 );

const LIBS = '/usr/share/mediawiki/includes/libs';
const PSR_LOG = '/usr/share/php/Psr/Log/autoload.php';

// MediaWiki gives up after 3.0 s; the rest is for a busy machine to notice.
const PATIENCE_SECONDS = 4.0;

function give_up( string $why ): void {
	file_put_contents( 'php://stderr', "client.php: $why\n" ); // STDERR is not there when the script is read from stdin
	exit( 2 );
}

foreach ( [ LIBS . '/objectcache/RESTBagOStuff.php', PSR_LOG ] as $file ) {
	if ( !is_file( $file ) ) {
		give_up( "$file is missing: install Debian's mediawiki-classes and php-psr-log" );
	}
}
if ( !extension_loaded( 'curl' ) ) {
	give_up( 'the curl extension is missing: install php-curl' );
}
require PSR_LOG;
foreach ( [
	'http/MultiHttpClient', 'objectcache/utils/ExpirationAwareness', 'objectcache/utils/StorageAwareness',
	'objectcache/IStoreKeyEncoder', 'objectcache/BagOStuff', 'objectcache/MediumSpecificBagOStuff',
	'objectcache/RESTBagOStuff', 'objectcache/serialized/SerializedValueContainer',
] as $class ) {
	require LIBS . "/$class.php";
}

/** Stands in for MediaWiki's statsd client, whose library Debian does not have. */
final class NoStats {
	public function updateCount( string $name, int $delta ): void {
	}
}

/** Keeps what the client logs of a failure: the HTTP status, 0 where there was no answer, and curl's reason. */
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

/** What came of one call. */
final class Outcome {
	public function __construct(
		public readonly mixed $value,
		public readonly int $error, // a BagOStuff::ERR_*, as MediaWiki's session code sees it
		public readonly ?int $status, // of a failure, as logged; null where none was
		public readonly string $reason,
		public readonly float $seconds
	) {
	}

	public function isMiss(): bool {
		return $this->value === false && $this->error === BagOStuff::ERR_NONE && $this->status === null;
	}

	public function isDone(): bool {
		return $this->value === true && $this->error === BagOStuff::ERR_NONE;
	}

	public function isValue( mixed $want ): bool {
		return $this->value === $want && $this->error === BagOStuff::ERR_NONE;
	}

	public function isRefused( int $status ): bool {
		return $this->value === false && $this->error === BagOStuff::ERR_UNEXPECTED && $this->status === $status;
	}

	public function isUnreachable(): bool {
		return $this->value === false && $this->error === BagOStuff::ERR_UNREACHABLE && $this->status === 0;
	}

	public function __toString(): string {
		$value = is_bool( $this->value ) ? var_export( $this->value, true ) : get_debug_type( $this->value );
		return sprintf( 'returned %s, error %d, logged status %s %s, took %.2f s',
			$value, $this->error, $this->status ?? '(none)', $this->reason, $this->seconds );
	}
}

/** A RESTBagOStuff as a wiki would configure it, with a connection of its own, kept while the object lives. */
final class Wiki {
	private RESTBagOStuff $bag;
	private FailureLog $log;

	public function __construct( array $params ) {
		$this->log = new FailureLog;
		$this->bag = new RESTBagOStuff(
			$params + [ 'keyspace' => 'enwiki', 'logger' => $this->log, 'stats' => new NoStats ] );
	}

	/** A session's key as MediaWiki makes one. */
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

/** Writes claims in the Test Anything Protocol. */
final class Tap {
	private int $claims = 0;
	private int $broken = 0;

	/** The last argument is what was seen instead. It must not have a key, a value or a token in it. */
	public function claim( string $that, bool $holds, string|Outcome $seen = '' ): void {
		$this->claims++;
		if ( $holds ) {
			echo "ok $this->claims - $that\n";
			return;
		}
		$this->broken++;
		echo "not ok $this->claims - $that\n# $seen\n";
	}

	public function finish(): void {
		echo "1..$this->claims\n";
		exit( $this->broken === 0 ? 0 : 1 );
	}
}

/** What the environment says. */
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
			give_up( 'the file that USERINFO_TOKEN_FILE names must have one line, "Authorization: Bearer …"' );
		}
		$this->authorization = $found[1];
		$this->kask = self::oneOf( 'USERINFO_FLAVOUR', 'put', 'kask' ) === 'kask';
		$this->textKeys = self::oneOf( 'USERINFO_KEYS', 'any', 'text' ) === 'text';
	}

	private static function need( string $name ): string {
		$value = getenv( $name );
		if ( $value === false || $value === '' ) {
			give_up( "set $name; the beginning of client.php says to what" );
		}
		return $value;
	}

	private static function oneOf( string $name, string ...$values ): string {
		$value = self::need( $name );
		if ( !in_array( $value, $values, true ) ) {
			give_up( "$name must be one of: " . implode( ', ', $values ) );
		}
		return $value;
	}

	/** $wgObjectCaches['sessions'] of this flavour. */
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

/** A session as MediaWiki stores one. */
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

function claim_life_of_a_session( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$key = $wiki->newKey();
	$first = session( 'Alice' );
	$second = session( 'Bob' );
	$outcome = $wiki->get( $key );
	$tap->claim( 'a key that was never set is a miss, and no error', $outcome->isMiss(), $outcome );
	$outcome = $wiki->set( $key, $first );
	$tap->claim( 'a session is set', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->claim( 'a get has what was set', $outcome->isValue( $first ), $outcome );
	$outcome = $setting->wiki()->get( $key );
	$tap->claim( 'so has a get on another connection', $outcome->isValue( $first ), $outcome );
	$outcome = $wiki->set( $key, $second );
	$tap->claim( 'a session is overwritten', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->claim( 'a get has what was set last', $outcome->isValue( $second ), $outcome );
	$outcome = $wiki->delete( $key );
	$tap->claim( 'a session is deleted', $outcome->isDone(), $outcome );
	$outcome = $wiki->get( $key );
	$tap->claim( 'a deleted session is a miss, and no error', $outcome->isMiss(), $outcome );
	$outcome = $wiki->delete( $key );
	$tap->claim( 'a session is deleted again', $outcome->isDone(), $outcome );
	$outcome = $wiki->set( $key, $first );
	$tap->claim( 'a set of a session that was just deleted is refused (409)', $outcome->isRefused( 409 ), $outcome );
	$outcome = $wiki->get( $key );
	$tap->claim( 'and does not bring it back', $outcome->isMiss(), $outcome );
	$outcome = $wiki->delete( $wiki->newKey() );
	$tap->claim( 'a key that was never set is deleted', $outcome->isDone(), $outcome );
}

/** Keys that a careless path would change, confuse or refuse, by what they have; N is a part that is new in each run. */
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

function claim_keys( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$new = bin2hex( random_bytes( 8 ) ); // 16 bytes, 256 times in the longest key
	$keys = array_map( fn ( $key ) => str_replace( 'N', $new, $key ), awkward_keys() );
	$set = [];
	foreach ( $keys as $what => $key ) {
		$set[$what] = $wiki->set( $key, "of $what" );
	}
	// Only now, so that two keys that were taken for one are found.
	foreach ( $keys as $what => $key ) {
		$get = $wiki->get( $key );
		$tap->claim( "a key with $what has the value that was set under it",
			$set[$what]->isDone() && $get->isValue( "of $what" ), "set {$set[$what]}; get $get" );
	}
	$gone = array_filter( $keys, fn ( $key ) => $wiki->delete( $key )->isDone() && $wiki->get( $key )->isMiss() );
	$tap->claim( 'each of these keys is deleted', count( $gone ) === count( $keys ),
		'not: a key with ' . implode( ', a key with ', array_keys( array_diff_key( $keys, $gone ) ) ) );
	claim_bytes( $tap, $setting, $wiki, bin2hex( random_bytes( 8 ) ) );

	$long = str_pad( $new, 4097, 'x' );
	$outcomes = [ 'set' => $wiki->set( $long, 'x' ), 'get' => $wiki->get( $long ), 'delete' => $wiki->delete( $long ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->claim( "a $what of a key of 4,097 bytes is an error and not a miss (414)", $outcome->isRefused( 414 ), $outcome );
	}
	foreach ( [ '.', '..' ] as $dots ) {
		$outcome = $wiki->set( $dots, 'x' );
		$tap->claim( "the key $dots, which libcurl takes for a step in the path, is refused and not taken for another key",
			$outcome->isRefused( 404 ), $outcome );
	}
}

/** Each byte is a key of its own; where keys are text, each byte that is a character. */
function claim_bytes( Tap $tap, Setting $setting, Wiki $wiki, string $new ): void {
	$bytes = range( 0, $setting->textKeys ? 127 : 255 );
	$set = array_filter( $bytes, fn ( $byte ) => $wiki->set( chr( $byte ) . $new, $byte )->isDone() );
	$got = array_filter( $bytes, fn ( $byte ) => $wiki->get( chr( $byte ) . $new )->isValue( $byte ) );
	$tap->claim( 'each of ' . count( $bytes ) . ' bytes makes a key of its own', $set === $bytes && $got === $bytes,
		'not: ' . implode( ' ', array_diff( $bytes, array_intersect( $set, $got ) ) ) );
	$all = implode( '', array_map( 'chr', $bytes ) ) . $new;
	$done = $wiki->set( $all, 'all' );
	$got = $wiki->get( $all );
	$tap->claim( 'a key has all of them', $done->isDone() && $got->isValue( 'all' ), "set $done; get $got" );
	if ( $setting->textKeys ) {
		$outcomes = [ 'set' => $wiki->set( "\xff$new", 'x' ), 'get' => $wiki->get( "\xff$new" ) ];
		foreach ( $outcomes as $what => $outcome ) {
			$tap->claim( "a $what of a key that is not UTF-8 is an error and not a miss (400)", $outcome->isRefused( 400 ), $outcome );
		}
	}
}

function claim_values( Tap $tap, Setting $setting ): void {
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
		$tap->claim( "a value that is $what comes back as it was", $set->isDone() && $get->isValue( $value ),
			"set $set; get $get" );
	}
	$signed = $setting->wiki( [ 'serialization_type' => 'JSON', 'hmac_key' => 'of the wiki' ] );
	$key = $signed->newKey();
	$session = session( 'Çelik' );
	$set = $signed->set( $key, $session );
	$get = $signed->get( $key );
	$tap->claim( 'a session in signed JSON comes back as it was', $set->isDone() && $get->isValue( $session ), "set $set; get $get" );

	$key = $wiki->newKey();
	$outcome = $wiki->set( $key, str_repeat( 'x', 2 << 20 ) );
	$tap->claim( 'a value of 2 MiB is refused (413)', $outcome->isRefused( 413 ), $outcome );
	$outcome = $wiki->get( $key );
	$tap->claim( 'and not stored', $outcome->isMiss(), $outcome );
	$outcome = $wiki->set( $key, 'small' );
	$tap->claim( 'and the client goes on', $outcome->isDone(), $outcome );
}

function claim_form( Tap $tap, Setting $setting ): void {
	$params = $setting->params( $setting->authorization );
	unset( $params['httpParams']['writeHeaders']['content-type'] );
	$wiki = new Wiki( $params );
	$key = $wiki->newKey();
	$set = $wiki->set( $key, 'a=b&c=%20d+e' );
	$get = $wiki->get( $key );
	$tap->claim( 'a POST that says it is a form is stored as it is', $set->isDone() && $get->isValue( 'a=b&c=%20d+e' ),
		"set $set; get $get" );
}

/** Of a key that exists, so that what the service refuses cannot be mistaken for what it does not have. */
function claim_errors( Tap $tap, Setting $setting ): void {
	$trusted = $setting->wiki();
	$key = $trusted->newKey();
	$trusted->set( $key, 'kept' );
	$wrong = preg_replace_callback( '/.$/', fn ( $last ) => $last[0] === 'A' ? 'B' : 'A', $setting->authorization );
	foreach ( [ 'a wrong token' => $wrong, 'no token' => null ] as $what => $authorization ) {
		$stranger = new Wiki( $setting->params( $authorization ) );
		$outcome = $stranger->get( $key );
		$tap->claim( "a get with $what is an error and not a miss (401)", $outcome->isRefused( 401 ), $outcome );
		$outcome = $stranger->set( $key, 'changed' );
		$tap->claim( "a set with $what is an error (401)", $outcome->isRefused( 401 ), $outcome );
		$outcome = $stranger->delete( $key );
		$tap->claim( "a delete with $what is an error (401)", $outcome->isRefused( 401 ), $outcome );
	}
	// Without a bundle of its own, the client trusts the system's.
	$elsewhere = $setting->params( $setting->authorization );
	unset( $elsewhere['caBundlePath'] );
	$careful = new Wiki( $elsewhere );
	$outcomes = [ 'get' => $careful->get( $key ), 'set' => $careful->set( $key, 'changed' ), 'delete' => $careful->delete( $key ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->claim( "a $what by a client that does not know the CA is an error and not a miss",
			$outcome->isUnreachable() && str_contains( $outcome->reason, '(curl error: 60)' ), $outcome );
	}
	$outcome = $trusted->get( $key );
	$tap->claim( 'none of these has changed anything', $outcome->isValue( 'kept' ), $outcome );
}

function claim_nothing_answers( Tap $tap, Setting $setting ): void {
	$wiki = $setting->wiki();
	$key = $wiki->newKey();
	$outcomes = [ 'get' => $wiki->get( $key ), 'set' => $wiki->set( $key, 'x' ), 'delete' => $wiki->delete( $key ) ];
	foreach ( $outcomes as $what => $outcome ) {
		$tap->claim( "a $what is an error and not a miss", $outcome->isUnreachable(), $outcome );
		$tap->claim( 'and is known to be one within 3 s', $outcome->seconds < PATIENCE_SECONDS, $outcome );
	}
}

$tap = new Tap;
$setting = new Setting;
switch ( $argv[1] ?? '' ) {
	case 'main':
		claim_life_of_a_session( $tap, $setting );
		claim_keys( $tap, $setting );
		claim_values( $tap, $setting );
		if ( $setting->kask ) {
			claim_form( $tap, $setting );
		}
		claim_errors( $tap, $setting );
		break;
	case 'down':
		claim_nothing_answers( $tap, $setting );
		break;
	default:
		give_up( 'say main or down' );
}
$tap->finish();
