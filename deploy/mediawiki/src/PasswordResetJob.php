<?php

namespace MediaWiki\Extension\UserInfo;

use GenericParameterJob;
use Job;
use MediaWiki\MediaWikiServices;
use SpecialPage;
use User;

/**
 * Sends a reset code by e-mail. Only this job needs the right to make reset tokens, so that web servers need not have
 * it: run jobs on another machine, see docs/mediawiki.md. The job queue never contains a token.
 *
 * Parameters: user, caller (IP address or name of who asked for the mail), isNew (the account was created for somebody else)
 */
class PasswordResetJob extends Job implements GenericParameterJob {
	public const NAME = 'userInfoPasswordReset';

	public function __construct( array $params ) {
		parent::__construct( self::NAME, $params );
	}

	/** @inheritDoc */
	public function run() {
		$user = MediaWikiServices::getInstance()->getUserFactory()->newFromName( $this->params['user'] );
		if ( !$user || !$user->isRegistered() || !$user->getEmail() ) {
			return true;
		}
		$result = PasswordService::newFromGlobals( 'reset' )->newResetToken( $user->getName() );
		if ( !$result->isOK() ) {
			return $this->fail( "no reset token: $result->kind $result->detail" );
		}
		return $this->sendMail( $user, ResetCode::format( $result->token ) ) || $this->fail( 'the mail was not sent' );
	}

	/** Returns the key that exists while no other mail is sent to a user. */
	public static function makeWaitKey( $stash, string $user ): string {
		return $stash->makeKey( 'userinfo-reset-mail', sha1( $user ) );
	}

	/** Lets the user ask again at once. MediaWiki also runs the job again, some time later. */
	private function fail( string $error ): bool {
		$stash = MediaWikiServices::getInstance()->getMainObjectStash();
		$stash->delete( self::makeWaitKey( $stash, $this->params['user'] ) );
		$this->setLastError( $error );
		return false;
	}

	/** @param User|\MediaWiki\User\User $user */
	private function sendMail(
		$user,
		#[\SensitiveParameter]
		string $code
	): bool {
		$language = MediaWikiServices::getInstance()->getUserOptionsLookup()->getOption( $user, 'language' );
		$link = SpecialPage::getTitleFor( 'Userlogin' )->getCanonicalURL( [ 'wpName' => $user->getName() ] );
		$kind = empty( $this->params['isNew'] ) ? 'reset' : 'new';
		// The code is the last parameter, so that no other one can contain it.
		$body = wfMessage( "userinfo-$kind-mail-body", $this->params['caller'], $user->getName(), "<$link>" )
			->plaintextParams( $code )->inLanguage( $language )->text();
		return $user->sendMail( wfMessage( "userinfo-$kind-mail-subject" )->inLanguage( $language )->text(), $body )->isGood();
	}
}
