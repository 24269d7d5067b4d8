<?php

namespace MediaWiki\Extension\UserInfo\Maintenance;

use Maintenance;
use MediaWiki\Extension\UserInfo\LocalPasswords;
use MediaWiki\Extension\UserInfo\PasswordResult;
use MediaWiki\Extension\UserInfo\PasswordService;
use MediaWiki\MediaWikiServices;
use stdClass;
use Wikimedia\Rdbms\IDatabase;

$IP = getenv( 'MW_INSTALL_PATH' ) ?: __DIR__ . '/../../..';
require_once "$IP/maintenance/Maintenance.php";

/**
 * Imports the password hashes in the wiki's database into the service, and removes them from the database if asked
 * to. docs/mediawiki.md has the steps of the migration.
 *
 * It may be stopped and run again at any time: an import that is repeated changes nothing, and a password that was
 * set in the service is never replaced. A hash is removed only after the service has confirmed that it has this one,
 * or a newer password of the user.
 *
 * Exit status: 0 everything was done, and with --remove the database has no hash left; 1 something is left, see the output.
 */
class ImportPasswords extends Maintenance {
	/** How long a service that does not answer is asked again, in seconds */
	private const PATIENCE = 300;
	/** The longest pause between two attempts, in seconds */
	private const MAX_PAUSE = 15;

	private PasswordService $service;
	private IDatabase $db;
	/** @var string[] Conditions of the rows that this process imports */
	private array $where = [];
	private bool $remove;
	/** @var int[] Outcome => number of users */
	private array $counts = [ 'imported' => 0, 'newer' => 0, 'deleted' => 0, 'disabled' => 0, 'unusable' => 0, 'changed' => 0 ];

	public function __construct() {
		parent::__construct();
		$this->requireExtension( 'UserInfo' );
		$this->addDescription( 'Imports the password hashes of the wiki into UserInfo.' );
		$this->addOption( 'remove', 'Remove each hash from the database after its import, and all temporary passwords' );
		$this->addOption( 'from', 'The user_id to begin with, which an earlier run has printed', false, true );
		$this->addOption( 'shard', 'N/M: import only every Mth user, beginning with the Nth. Run M processes to be faster', false, true );
		$this->addOption( 'disable-unusable', 'Users whose hash the service cannot use get no password. They need a reset code' );
		$this->addOption( 'bot-passwords', 'keep or remove: what --remove does with the hashes of bot passwords', false, true );
		$this->setBatchSize( 200 );
	}

	public function execute() {
		global $wgUserInfoPasswords;
		if ( !$wgUserInfoPasswords ) {
			$this->fatalError( 'Set $wgUserInfoPasswords first. Otherwise users could not log in after the import.' );
		}
		$this->service = PasswordService::newFromGlobals( 'import' );
		$this->db = $this->getDB( DB_PRIMARY );
		$this->remove = $this->hasOption( 'remove' );
		$this->where = $this->getShard();
		$begin = (int)$this->getOption( 'from', 0 );
		$total = (int)$this->db->selectField( 'user', 'COUNT(*)', $this->conditions( $begin ), __METHOD__ );
		$this->output( "$total users have a hash.\n" );
		$this->importAll( $begin, $total );
		$left = $this->remove ? $this->finish() : 0;
		return $left === 0 && $this->counts['unusable'] === 0;
	}

	/** @return string[] */
	private function getShard(): array {
		$shard = $this->getOption( 'shard', '1/1' );
		if ( !preg_match( '!^(\d{1,4})/(\d{1,4})$!D', $shard, $found ) || $found[1] < 1 || $found[1] > $found[2] ) {
			$this->fatalError( '--shard must be like 2/8: the second of eight parts' );
		}
		return [ 'user_id % ' . (int)$found[2] . ' = ' . ( (int)$found[1] - 1 ) ];
	}

	/** Returns a condition of SQL. It is no constant, because MediaWiki reads those before it loads the extension. */
	private static function hasHash(): string {
		return "user_password NOT IN ('', '" . LocalPasswords::RENAMED . "')";
	}

	private function conditions( int $begin ): array {
		return array_merge( $this->where, [ 'user_id >= ' . $begin, self::hasHash() ] );
	}

	private function importAll( int $begin, int $total ): void {
		$done = 0;
		$start = microtime( true );
		do {
			$rows = iterator_to_array( $this->db->select(
				'user', [ 'user_id', 'user_name', 'user_password' ], $this->conditions( $begin ), __METHOD__,
				[ 'ORDER BY' => 'user_id', 'LIMIT' => $this->getBatchSize() ]
			), false );
			foreach ( $rows as $row ) {
				$this->importOne( $row );
				$begin = $row->user_id + 1;
				$done++;
			}
			if ( $rows ) {
				$this->showProgress( $done, $total, $begin, microtime( true ) - $start );
				$this->waitForReplication();
			}
		} while ( $rows );
	}

	private function showProgress( int $done, int $total, int $next, float $seconds ): void {
		$minutes = ceil( max( 0, $total - $done ) * $seconds / $done / 60 );
		$this->output( sprintf( "%d of %d users: %s. About %d min left. To continue here: --from=%d\n",
			$done, $total, $this->describeCounts(), $minutes, $next ) );
	}

	private function describeCounts(): string {
		$texts = [
			'imported' => 'imported',
			'newer' => 'with a newer password in the service',
			'deleted' => 'deleted in the service',
			'disabled' => 'disabled',
			'unusable' => 'not imported',
			'changed' => 'changed meanwhile',
		];
		$parts = [];
		foreach ( array_filter( $this->counts ) as $what => $n ) {
			$parts[] = "$n $texts[$what]";
		}
		return implode( ', ', $parts ) ?: 'nothing';
	}

	/** Returns what became of a hash, or null if the service has not decided about it. */
	private static function outcomeOf( PasswordResult $result ): ?string {
		return [
			PasswordResult::OK => 'imported',
			PasswordResult::EXISTS => 'newer',
			PasswordResult::DELETED => 'deleted',
			PasswordResult::UNUSABLE => 'unusable',
		][$result->kind] ?? null;
	}

	/** Imports one user. The hash is removed only after an answer that makes it superfluous. */
	private function importOne( stdClass $row ): void {
		$result = $this->insist( $row, LocalPasswords::getHash( $row ) );
		$outcome = self::outcomeOf( $result );
		if ( $outcome === 'unusable' && $this->hasOption( 'disable-unusable' ) ) {
			$result = $this->insist( $row, '' );
			$outcome = $result->isOK() ? 'disabled' : self::outcomeOf( $result );
		}
		if ( $outcome === 'unusable' ) {
			$this->output( "The service cannot use the hash of the user with user_id $row->user_id: $result->detail\n" );
		} elseif ( $this->remove && !$this->removeHash( $row ) ) {
			$outcome = 'changed';
		}
		$this->counts[$outcome]++;
	}

	/**
	 * Removes the hash that was imported. Returns false if the user has another one by now; the next run imports it.
	 * The hash is compared here and not in the query, because MediaWiki can log queries.
	 */
	private function removeHash( stdClass $row ): bool {
		$user = [ 'user_id' => $row->user_id ];
		$this->db->startAtomic( __METHOD__ );
		$same = $this->db->selectField( 'user', 'user_password', $user, __METHOD__, [ 'FOR UPDATE' ] ) === $row->user_password;
		if ( $same ) {
			$this->db->update( 'user', [ 'user_password' => '' ], $user, __METHOD__ );
		}
		$this->db->endAtomic( __METHOD__ );
		return $same;
	}

	/** Imports a hash, and waits for the service if it does not answer. The service has decided then. */
	private function insist(
		stdClass $row,
		#[\SensitiveParameter]
		string $hash
	): PasswordResult {
		$deadline = microtime( true ) + self::PATIENCE;
		for ( $pause = 1; ; $pause = min( 2 * $pause, self::MAX_PAUSE ) ) {
			$result = $this->service->import( $row->user_name, $hash );
			if ( self::outcomeOf( $result ) !== null ) {
				return $result;
			}
			if ( $result->isFinal || microtime( true ) > $deadline ) {
				$this->fatalError( "The service does not import: $result->detail\n" .
					"Nothing is lost. To continue, run again with --from=$row->user_id" );
			}
			$this->output( "The service does not answer ($result->detail). Asking again.\n" );
			sleep( max( $pause, min( $result->retryAfter, self::MAX_PAUSE ) ) );
		}
	}

	/** Removes what is not imported, and returns how many hashes are left in the database. */
	private function finish(): int {
		$this->db->update( 'user', [ 'user_newpassword' => '', 'user_newpass_time' => null ],
			array_merge( $this->where, [ "user_newpassword != ''" ] ), __METHOD__ );
		$left = (int)$this->db->selectField( 'user', 'COUNT(*)',
			array_merge( $this->where, [ self::hasHash() . " OR user_newpassword != ''" ] ), __METHOD__ );
		if ( $left > 0 ) {
			$this->output( "$left users still have a hash in the database. Run again, or add --disable-unusable.\n" );
		}
		$left += $this->finishBotPasswords();
		if ( $left === 0 ) {
			$this->output( "The database has no hash of a password of a user left. " .
				"Old copies may be in backups, binary logs and free pages: see docs/mediawiki.md.\n" );
		}
		return $left;
	}

	/** Returns how many bot passwords somebody must still decide about. */
	private function finishBotPasswords(): int {
		$store = MediaWikiServices::getInstance()->getBotPasswordStore();
		$db = method_exists( $store, 'getPrimaryDatabase' ) ? $store->getPrimaryDatabase() : $store->getDatabase( DB_PRIMARY );
		$where = [ "bp_password != ''" ];
		if ( $this->getOption( 'bot-passwords' ) === 'remove' ) {
			$db->update( 'bot_passwords', [ 'bp_password' => '' ], $where, __METHOD__ );
		}
		$count = (int)$db->selectField( 'bot_passwords', 'COUNT(*)', $where, __METHOD__ );
		if ( $count === 0 ) {
			return 0;
		}
		$this->output( "The database has the hashes of $count bot passwords. MediaWiki verifies them itself, and they are random, so that nobody " .
			"can guess them. Use --bot-passwords=keep to keep them, or --bot-passwords=remove.\n" );
		return $this->getOption( 'bot-passwords' ) === 'keep' ? 0 : $count;
	}
}

$maintClass = ImportPasswords::class;
require_once RUN_MAINTENANCE_IF_MAIN;
