<?php

namespace MediaWiki\Extension\UserInfo;

use stdClass;

/**
 * Decides whether a password is right: it asks the service, and then the hash in the wiki's database if the
 * configuration allows that (PasswordService::allowsLocal). It writes nothing into the database.
 */
class PasswordChecker {
	private PasswordService $service;
	/** @var callable Returns MediaWiki's Password for a hash */
	private $parseHash;

	public function __construct( PasswordService $service, callable $parseHash ) {
		$this->service = $service;
		$this->parseHash = $parseHash;
	}

	/**
	 * Decides about the password of a login. A password that is right by the local hash only is made in the service,
	 * so that the service knows it next time.
	 *
	 * @param string $name
	 * @param stdClass|null $row The user's row, or null if the wiki has no such user
	 * @param string $password
	 * @param string $address IP address of the person
	 */
	public function check(
		string $name,
		?stdClass $row,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		$result = $this->verify( $name, $row, $password, $address );
		if ( !$result->isOK() && $this->service->allowsLocal( $result ) && $this->isLocal( $row, $password ) ) {
			return $this->checkLocally( $name, $password, $address, $result );
		}
		return $result;
	}

	/**
	 * Asks the service, also about a user who may not log in, so that the answer takes the same time. It fails
	 * closed: without a row, WRONG.
	 */
	private function verify(
		string $name,
		?stdClass $row,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		$result = $this->service->verify( $name, $password, $address );
		return $result->isOK() && !LocalPasswords::mayLogIn( $row ) ? new PasswordResult( PasswordResult::WRONG ) : $result;
	}

	/**
	 * Decides about a password that agrees with the local hash and not with the service. It fails closed: if the
	 * service has another password of this user, that one was set later, and the local hash is not used. A local
	 * password that is too weak for the service must be changed before the login is complete; that change decides the
	 * same.
	 */
	private function checkLocally(
		string $name,
		#[\SensitiveParameter]
		string $password,
		string $address,
		PasswordResult $result
	): PasswordResult {
		if ( $result->kind === PasswordResult::UNAVAILABLE ) {
			return new PasswordResult( PasswordResult::OK );
		}
		$created = $this->service->create( $name, $password, $address );
		switch ( $created->kind ) {
			case PasswordResult::EXISTS:
				return $result;
			case PasswordResult::WEAK:
				$accepted = new PasswordResult( PasswordResult::OK );
				$accepted->mustChange = $created->getMessage();
				return $accepted;
			default:
				return $created;
		}
	}

	/** Decides, before a change, whether this is the current password. */
	public function checkCurrent(
		string $name,
		stdClass $row,
		#[\SensitiveParameter]
		string $current,
		string $address
	): PasswordResult {
		$result = $this->verify( $name, $row, $current, $address );
		return $this->isOnlyLocal( $result, $row, $current ) ? new PasswordResult( PasswordResult::OK ) : $result;
	}

	/** Changes a password. A user whom the service does not know is made there. */
	public function change(
		string $name,
		?stdClass $row,
		#[\SensitiveParameter]
		string $current,
		#[\SensitiveParameter]
		string $password,
		string $address
	): PasswordResult {
		if ( !LocalPasswords::mayLogIn( $row ) ) {
			return new PasswordResult( PasswordResult::WRONG );
		}
		$result = $this->service->change( $name, $current, $password, $address );
		if ( $this->isOnlyLocal( $result, $row, $current ) ) {
			$created = $this->service->create( $name, $password, $address );
			return $created->kind === PasswordResult::EXISTS ? $result : $created;
		}
		return $result;
	}

	/**
	 * Reports whether the service has refused a password that is right by the local hash, and the configuration lets
	 * that count.
	 */
	private function isOnlyLocal(
		PasswordResult $result,
		?stdClass $row,
		#[\SensitiveParameter]
		string $password
	): bool {
		return $result->kind === PasswordResult::WRONG && $this->service->allowsLocal( $result ) && $this->isLocal( $row, $password );
	}

	private function isLocal(
		?stdClass $row,
		#[\SensitiveParameter]
		string $password
	): bool {
		return LocalPasswords::mayLogIn( $row ) && ( $this->parseHash )( LocalPasswords::getHash( $row ) )->verify( $password );
	}
}
