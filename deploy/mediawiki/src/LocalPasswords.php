<?php

namespace MediaWiki\Extension\UserInfo;

use stdClass;
use User;
use Wikimedia\Rdbms\ILoadBalancer;

/** The columns of the wiki's table user that are about passwords. */
class LocalPasswords {
	/**
	 * In place of the hash of a user who was renamed. The service knows names only: under the new name, it may have
	 * the password of somebody else who had this name before. MediaWiki does not know this type of hash, so no
	 * password agrees with it.
	 */
	public const RENAMED = ':userinfo-renamed:';
	private ILoadBalancer $loadBalancer;

	public function __construct( ILoadBalancer $loadBalancer ) {
		$this->loadBalancer = $loadBalancer;
	}

	/**
	 * Returns the row of a user, or null.
	 *
	 * @param string $name Canonical name
	 * @param int $index DB_REPLICA or DB_PRIMARY
	 */
	public function getRow( string $name, int $index = DB_REPLICA ): ?stdClass {
		return $this->loadBalancer->getConnection( $index )->selectRow(
			'user', [ 'user_id', 'user_name', 'user_password', 'user_password_expires', 'user_token' ], [ 'user_name' => $name ], __METHOD__
		) ?: null;
	}

	/**
	 * Reports whether a person may use the account. System users have a token that is not valid. It fails closed:
	 * without a row, false.
	 */
	public static function isUsable( ?stdClass $row ): bool {
		return $row !== null && trim( $row->user_token ) !== User::INVALID_TOKEN;
	}

	/**
	 * Reports whether a password in the service is good for this user. After a rename, it is not, until the user sets
	 * one with a reset code. It fails closed: without a row, false.
	 */
	public static function mayLogIn( ?stdClass $row ): bool {
		return self::isUsable( $row ) && $row->user_password !== self::RENAMED;
	}

	/** Makes mayLogIn() false, before a rename and in its transaction. */
	public function markRenamed( int $userId ): void {
		$this->loadBalancer->getConnection( DB_PRIMARY )->update(
			'user', [ 'user_password' => self::RENAMED ], [ 'user_id' => $userId ], __METHOD__ );
	}

	/** Returns the hash in a row in the format with a type, or an empty text. Very old hashes have no type. */
	public static function getHash( stdClass $row ): string {
		return preg_match( '/^[0-9a-f]{32}$/D', $row->user_password ) ? ":B:$row->user_id:$row->user_password" : $row->user_password;
	}

	/** Removes the hash of a user, because the service has another password now. It also ends RENAMED. */
	public function forget( string $name, ?string $expires ): void {
		$db = $this->loadBalancer->getConnection( DB_PRIMARY );
		$db->update(
			'user',
			[ 'user_password' => '', 'user_newpassword' => '', 'user_password_expires' => $db->timestampOrNull( $expires ) ],
			[ 'user_name' => $name ],
			__METHOD__
		);
	}
}
