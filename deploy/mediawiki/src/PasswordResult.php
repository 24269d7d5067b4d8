<?php

namespace MediaWiki\Extension\UserInfo;

/** What the service said about a password. */
class PasswordResult {
	public const OK = 'ok';
	/** The password or the reset code is wrong, or there is no such user. The service does not tell which. */
	public const WRONG = 'wrong';
	/** There were too many wrong passwords. This one was not compared. */
	public const LIMITED = 'limited';
	/** The new password is against a rule of the service. */
	public const WEAK = 'weak';
	/** The service has a password of this user already. */
	public const EXISTS = 'exists';
	/** The user was deleted in the service, and an import does not bring him back. */
	public const DELETED = 'deleted';
	/** The change holds in this datacentre. The service will carry it to the others. */
	public const NOT_EVERYWHERE = 'not-everywhere';
	/** The text cannot be a password or a hash for the service, or is too long. */
	public const UNUSABLE = 'unusable';
	/** Nobody knows whether the change was made. */
	public const UNKNOWN = 'unknown';
	/** The service was not asked, could not answer, or refuses this client. Nothing is known about the password. */
	public const UNAVAILABLE = 'unavailable';

	/** One of the constants */
	public string $kind;
	/** The seconds to wait; 0: not known */
	public int $retryAfter;
	/** The rule or the reason, in English */
	public string $detail;
	/** Only of PasswordService::newResetToken() */
	public string $token = '';
	/** @var \Message|\MediaWiki\Message\Message|null Why the password is right and must be changed now */
	public $mustChange = null;
	/** Whether the same request would have the same result, because the service refuses this client */
	public bool $isFinal = false;
	/**
	 * Whether the service did not answer, or says that it cannot do its work. It is false if the service refuses this
	 * client.
	 */
	public bool $isOutage = false;

	public function __construct( string $kind, int $retryAfter = 0, string $detail = '' ) {
		$this->kind = $kind;
		$this->retryAfter = $retryAfter;
		$this->detail = $detail;
	}

	/**
	 * Reads an answer. It fails closed: only the status that the service documents for the request is OK, and
	 * everything unexpected is UNAVAILABLE, or UNKNOWN if the request could have changed something.
	 *
	 * @param Response $response
	 * @param int $success The status of success
	 * @param bool $changes Whether the request changes something that is there. It must not be repeated, and can be
	 *  NOT_EVERYWHERE
	 */
	public static function of( Response $response, int $success, bool $changes = false ): self {
		if ( $response->status === $success ) {
			return new self( self::OK );
		}
		switch ( "$response->status $response->problem" ) {
			case '403 wrong-password':
				return new self( self::WRONG );
			case '429 too-many-guesses':
				return new self( self::LIMITED, max( 1, $response->retryAfter ) );
			case '422 weak-password':
				return new self( self::WEAK, 0, $response->detail );
			case '412 user-exists':
				return new self( self::EXISTS );
			case '412 user-deleted':
				return new self( self::DELETED );
			case '400 bad-request':
			case '413 value-too-large':
				return new self( self::UNUSABLE, 0, $response->detail );
		}
		if ( $changes && $response->problem === 'not-everywhere' && $response->status === 503 ) {
			return new self( self::NOT_EVERYWHERE );
		}
		$unknown = $changes && $response->mayBeDone();
		$result = new self( $unknown ? self::UNKNOWN : self::UNAVAILABLE, $response->retryAfter, $response->detail );
		$result->isFinal = $response->status >= 400 && $response->status < 500 && $response->status !== 429;
		$result->isOutage = $response->status === 0 || $response->status >= 500;
		return $result;
	}

	/** Reports whether the password was right, or the change was made. It is true of a change that is not everywhere yet. */
	public function isOK(): bool {
		return $this->kind === self::OK || $this->kind === self::NOT_EVERYWHERE;
	}

	/**
	 * Returns what to show to the user. isOK() must be false.
	 *
	 * @return \Message|\MediaWiki\Message\Message
	 */
	public function getMessage() {
		switch ( $this->kind ) {
			case self::WRONG:
				return wfMessage( 'wrongpassword' );
			case self::LIMITED:
				return wfMessage( 'login-throttled' )->durationParams( $this->retryAfter );
			case self::WEAK:
				return wfMessage( 'userinfo-password-weak' )->plaintextParams( $this->detail );
			case self::EXISTS:
				return wfMessage( 'userinfo-password-exists' );
			case self::UNUSABLE:
				return wfMessage( 'userinfo-password-unusable' );
			case self::UNKNOWN:
				return wfMessage( 'userinfo-password-unknown' );
			default:
				return wfMessage( 'userinfo-password-unavailable' );
		}
	}
}
