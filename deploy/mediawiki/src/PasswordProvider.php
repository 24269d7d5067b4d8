<?php

namespace MediaWiki\Extension\UserInfo;

use ApiUsageException;
use BagOStuff;
use ErrorPageError;
use JobQueueGroup;
use JobSpecification;
use MediaWiki\Auth\AbstractPasswordPrimaryAuthenticationProvider;
use MediaWiki\Auth\AuthenticationRequest;
use MediaWiki\Auth\AuthenticationResponse;
use MediaWiki\Auth\AuthManager;
use MediaWiki\Auth\PasswordAuthenticationRequest;
use MediaWiki\Auth\TemporaryPasswordAuthenticationRequest;
use MediaWiki\Session\SessionManager;
use MediaWiki\User\BotPasswordStore;
use MediaWiki\User\UserRigorOptions;
use MWCryptRand;
use Status;
use StatusValue;
use stdClass;
use Wikimedia\Rdbms\ILoadBalancer;

/**
 * Logs people in with the passwords in the service UserInfo. It stands in place of MediaWiki's
 * LocalPasswordPrimaryAuthenticationProvider and TemporaryPasswordPrimaryAuthenticationProvider, and writes no hash
 * into the wiki's database.
 *
 *  1. A login succeeds only if the service says that the password is right. If the configuration allows local hashes, see
 *     PasswordChecker for the exceptions.
 *  2. Every failure is shown as what it is. A service that does not answer is never "wrong password".
 *  3. A user who has forgotten the password gets a reset code by e-mail (PasswordResetJob), and logs in with it in
 *     place of the password. He must then choose a new password, which uses up the code.
 *  4. After every change, the local hash is gone, so that an old password never works again.
 *  5. After a rename, no password works until the user has set a new one with a reset code (LocalPasswords::RENAMED).
 *
 * It does not defend against code on the web server that reads passwords while people type them.
 */
class PasswordProvider extends AbstractPasswordPrimaryAuthenticationProvider {
	/** Authentication session data: user and token of a login with a reset code */
	private const RESET_STATE = 'userinfo-reset';

	private PasswordService $service;
	private PasswordChecker $checker;
	private LocalPasswords $local;
	private JobQueueGroup $jobs;
	/** @var BagOStuff|\Wikimedia\ObjectCache\BagOStuff */
	private $stash;
	private BotPasswordStore $botPasswords;

	/**
	 * @param ILoadBalancer $loadBalancer
	 * @param JobQueueGroup $jobs
	 * @param BagOStuff|\Wikimedia\ObjectCache\BagOStuff $stash
	 * @param BotPasswordStore $botPasswords
	 * @param array $params
	 *  - authoritative: whether a wrong password ends the login (true), or other providers are asked
	 */
	public function __construct( ILoadBalancer $loadBalancer, JobQueueGroup $jobs, $stash, BotPasswordStore $botPasswords, array $params = [] ) {
		parent::__construct( $params );
		$this->service = PasswordService::newFromGlobals();
		$this->checker = new PasswordChecker( $this->service, function ( string $hash ) {
			return $this->getPassword( $hash );
		} );
		$this->local = new LocalPasswords( $loadBalancer );
		$this->jobs = $jobs;
		$this->stash = $stash;
		$this->botPasswords = $botPasswords;
	}

	/** @inheritDoc */
	public function getAuthenticationRequests( $action, array $options ) {
		switch ( $action ) {
			case AuthManager::ACTION_LOGIN:
				return [ new PasswordAuthenticationRequest ];
			case AuthManager::ACTION_CREATE:
				$forOthers = isset( $options['username'] ) && !$this->userNameUtils->isTemp( $options['username'] )
					&& $this->config->get( 'EnableEmail' );
				return array_merge( [ new PasswordAuthenticationRequest ], $forOthers ? [ TemporaryPasswordAuthenticationRequest::newRandom() ] : [] );
			case AuthManager::ACTION_CHANGE:
				return [ self::isCommandLine() ? new PasswordAuthenticationRequest : new PasswordChangeRequest ];
			default:
				return [];
		}
	}

	// Log in

	/** @inheritDoc */
	public function beginPrimaryAuthentication( array $reqs ) {
		$req = AuthenticationRequest::getRequestByClass( $reqs, PasswordAuthenticationRequest::class );
		$name = $this->getName( $req );
		if ( $name === null || $req->password === null ) {
			return AuthenticationResponse::newAbstain();
		}
		if ( $req->password === '' ) {
			return $this->failResponse( $req );
		}
		$token = ResetCode::parse( $req->password );
		if ( $token !== null ) {
			$this->manager->setAuthenticationSessionData( self::RESET_STATE, [ 'name' => $name, 'token' => $token ] );
			return $this->askForNewPassword( wfMessage( 'userinfo-reset-choose' ), 'warning' );
		}
		$validity = $this->checkPasswordValidity( $name, $req->password );
		if ( !$validity->isOK() ) {
			return AuthenticationResponse::newFail( $validity->getMessage() );
		}
		$row = $this->local->getRow( $name );
		$result = $this->checker->check( $name, $row, $req->password, $this->getAddress() );
		if ( $result->kind === PasswordResult::WRONG ) {
			return $this->failResponse( $req );
		}
		if ( !$result->isOK() ) {
			return AuthenticationResponse::newFail( $result->getMessage() );
		}
		$this->setPasswordResetFlag( $name, $validity, $row );
		if ( $result->mustChange ) {
			$this->manager->setAuthenticationSessionData( 'reset-pass',
				(object)[ 'msg' => wfMessage( 'resetpass-validity', $result->mustChange ), 'hard' => true ] );
		}
		$this->addCurrentPassword( $req->password );
		return AuthenticationResponse::newPass( $name );
	}

	/** Saves a user who must change the password during the login from typing it again. */
	private function addCurrentPassword(
		#[\SensitiveParameter]
		string $password
	): void {
		$data = $this->manager->getAuthenticationSessionData( 'reset-pass' );
		if ( $data ) {
			$data->req = new PasswordChangeRequest( $password );
			$this->manager->setAuthenticationSessionData( 'reset-pass', $data );
		}
	}

	/** @inheritDoc */
	protected function getPasswordResetData( $username, $row ) {
		$expires = $row ? wfTimestampOrNull( TS_UNIX, $row->user_password_expires ) : null;
		if ( $expires === null || (int)$expires >= time() ) {
			return null;
		}
		$hard = (int)$expires + $this->config->get( 'PasswordExpireGrace' ) < time();
		return (object)[ 'hard' => $hard, 'msg' => wfMessage( $hard ? 'resetpass-expired' : 'resetpass-expired-soft' ) ];
	}

	// Log in with a reset code

	private function askForNewPassword( $message, string $type ): AuthenticationResponse {
		$req = new PasswordAuthenticationRequest;
		$req->action = AuthManager::ACTION_CHANGE;
		return AuthenticationResponse::newUI( [ $req ], $message, $type );
	}

	/** @inheritDoc */
	public function continuePrimaryAuthentication( array $reqs ) {
		$state = $this->manager->getAuthenticationSessionData( self::RESET_STATE );
		$req = AuthenticationRequest::getRequestByClass( $reqs, PasswordAuthenticationRequest::class );
		if ( !$state || !$req || $req->password === null ) {
			return AuthenticationResponse::newFail( wfMessage( 'authmanager-authn-not-in-progress' ) );
		}
		[ 'name' => $name, 'token' => $token ] = $state;
		$validity = $this->checkNewPassword( $name, $req );
		if ( !$validity->isGood() ) {
			return $this->askForNewPassword( Status::wrap( $validity )->getMessage(), 'error' );
		}
		if ( !LocalPasswords::isUsable( $this->local->getRow( $name ) ) ) {
			return AuthenticationResponse::newFail( wfMessage( 'userinfo-reset-wrong' ) );
		}
		$result = $this->service->changeWithToken( $name, $token, $req->password, $this->getAddress() );
		switch ( $result->kind ) {
			case PasswordResult::OK:
				$this->afterReset( $name, $req );
				return AuthenticationResponse::newPass( $name );
			case PasswordResult::WRONG:
				return AuthenticationResponse::newFail( wfMessage( 'userinfo-reset-wrong' ) );
			case PasswordResult::WEAK:
			case PasswordResult::UNUSABLE:
				return $this->askForNewPassword( $result->getMessage(), 'error' );
			default:
				return AuthenticationResponse::newFail( $result->getMessage() );
		}
	}

	/** Does what MediaWiki does after other changes: ends all sessions of the user, and makes bot passwords invalid. */
	private function afterReset( string $name, PasswordAuthenticationRequest $req ): void {
		$this->local->forget( $name, $this->getNewPasswordExpiry( $name ) );
		$this->botPasswords->invalidateUserPasswords( $name );
		SessionManager::singleton()->invalidateSessionsForUser( \User::newFromName( $name ) );
		$req->username = $name;
		$this->getHookRunner()->onChangeAuthenticationDataAudit( $req, Status::newGood() );
		$this->logger->info( '{user} has set a password with a reset code', [ 'user' => $name, 'requestIP' => $this->getAddress() ] );
	}

	// Change

	/** @inheritDoc */
	public function providerAllowsAuthenticationDataChange( AuthenticationRequest $req, $checkData = true ) {
		$class = get_class( $req );
		if ( $class === TemporaryPasswordAuthenticationRequest::class ) {
			return $checkData ? $this->allowsMail( $req ) : StatusValue::newGood();
		}
		if ( $class !== PasswordChangeRequest::class && $class !== PasswordAuthenticationRequest::class ) {
			return StatusValue::newGood( 'ignored' );
		}
		if ( !$checkData ) {
			return StatusValue::newGood();
		}
		$name = $this->getName( $req );
		$row = $name === null ? null : $this->local->getRow( $name, DB_PRIMARY );
		if ( !$row || ( $class === PasswordAuthenticationRequest::class && !self::isCommandLine() ) ) {
			return StatusValue::newGood( 'ignored' );
		}
		if ( $req->password === null ) {
			return StatusValue::newGood();
		}
		$status = $this->checkNewPassword( $name, $req );
		if ( $status->isGood() && $class === PasswordChangeRequest::class ) {
			$status->merge( $this->checkCurrent( $name, $row, (string)$req->current ) );
		}
		return $status;
	}

	private function checkNewPassword( string $name, PasswordAuthenticationRequest $req ): StatusValue {
		if ( $req->password !== $req->retype ) {
			return StatusValue::newFatal( 'badretype' );
		}
		if ( ResetCode::parse( $req->password ) !== null ) { // nobody could log in with it
			return StatusValue::newFatal( 'userinfo-password-is-code' );
		}
		return StatusValue::newGood()->merge( $this->checkPasswordValidity( $name, $req->password ) );
	}

	/** Asks before the change, because MediaWiki can show an error beside the form only here. */
	private function checkCurrent(
		string $name,
		stdClass $row,
		#[\SensitiveParameter]
		string $current
	): StatusValue {
		if ( $current === '' ) {
			return StatusValue::newFatal( 'userinfo-current-wrong' );
		}
		$result = $this->checker->checkCurrent( $name, $row, $current, $this->getAddress() );
		if ( $result->isOK() ) {
			return StatusValue::newGood();
		}
		return StatusValue::newFatal( $result->kind === PasswordResult::WRONG ? wfMessage( 'userinfo-current-wrong' ) : $result->getMessage() );
	}

	/** @inheritDoc */
	public function providerChangeAuthenticationData( AuthenticationRequest $req ) {
		$name = $this->getName( $req );
		if ( $name === null || $req->action === AuthManager::ACTION_REMOVE ) {
			return;
		}
		switch ( get_class( $req ) ) {
			case TemporaryPasswordAuthenticationRequest::class:
				$this->pushMail( $name, (string)$req->caller, false );
				break;
			case PasswordChangeRequest::class:
				$this->finishChange( $name, $this->change( $name, (string)$req->current, $req->password ) );
				break;
			case PasswordAuthenticationRequest::class:
				if ( self::isCommandLine() ) {
					$this->finishChange( $name, $this->changeOnCommandLine( $name, $req->password ) );
				}
		}
	}

	private function change(
		string $name,
		#[\SensitiveParameter]
		string $current,
		#[\SensitiveParameter]
		string $password
	): PasswordResult {
		return $this->checker->change( $name, $this->local->getRow( $name, DB_PRIMARY ), $current, $password, $this->getAddress() );
	}

	/** Sets a password for changePassword.php and createAndPromote.php, whose user has the right to make reset tokens. */
	private function changeOnCommandLine(
		string $name,
		#[\SensitiveParameter]
		string $password
	): PasswordResult {
		$token = PasswordService::newFromGlobals( 'reset' )->newResetToken( $name );
		return $token->isOK() ? $this->service->changeWithToken( $name, $token->token, $password ) : $token;
	}

	/** Removes the local hash after a change. A change that was not made is shown on a page of its own. */
	private function finishChange( string $name, PasswordResult $result ): void {
		if ( !$result->isOK() ) {
			self::throwFailure( $result );
		}
		if ( $result->kind === PasswordResult::NOT_EVERYWHERE ) {
			PasswordNotice::note( $this->manager->getRequest() );
		}
		$this->local->forget( $name, $this->getNewPasswordExpiry( $name ) );
		if ( defined( 'MW_API' ) ) {
			$this->endOtherSessions( $name );
		}
	}

	/**
	 * Ends the other sessions of a user who has changed the password through the API. MediaWiki's special page does
	 * it itself.
	 */
	private function endOtherSessions( string $name ): void {
		$session = $this->manager->getRequest()->getSession();
		$user = $session->getUser();
		if ( $user->getName() === $name ) { // it is somebody else, or nobody, during a login
			SessionManager::singleton()->invalidateSessionsForUser( $user );
			$session->setUser( $user );
			$session->resetId();
		}
	}

	/** Shows a failure where MediaWiki has no way to return it. */
	private static function throwFailure( PasswordResult $result ): void {
		if ( defined( 'MW_API' ) ) {
			throw ApiUsageException::newWithMessage( null, $result->getMessage() );
		}
		throw new ErrorPageError( 'userinfo-change-failed', $result->getMessage() );
	}

	// Reset codes by e-mail

	private function allowsMail( TemporaryPasswordAuthenticationRequest $req ): StatusValue {
		$name = $this->getName( $req );
		if ( $name === null || !LocalPasswords::isUsable( $this->local->getRow( $name ) ) ) {
			return StatusValue::newGood( 'ignored' );
		}
		if ( !$this->config->get( 'EnableEmail' ) ) {
			return StatusValue::newFatal( 'passwordreset-emaildisabled' );
		}
		$hours = $this->config->get( 'PasswordReminderResendTime' );
		if ( $hours && $this->stash->get( PasswordResetJob::makeWaitKey( $this->stash, $name ) ) ) {
			return StatusValue::newFatal( 'throttled-mailpassword', round( $hours, 3 ) );
		}
		return StatusValue::newGood();
	}

	private function pushMail( string $name, string $caller, bool $isNew ): void {
		$seconds = (int)( $this->config->get( 'PasswordReminderResendTime' ) * 3600 );
		if ( $seconds > 0 ) {
			$this->stash->set( PasswordResetJob::makeWaitKey( $this->stash, $name ), 1, $seconds );
		}
		$this->jobs->push( new JobSpecification( PasswordResetJob::NAME, [ 'user' => $name, 'caller' => $caller, 'isNew' => $isNew ] ) );
	}

	// Create an account

	/** @inheritDoc */
	public function accountCreationType() {
		return self::TYPE_CREATE;
	}

	/** @inheritDoc */
	public function testForAccountCreation( $user, $creator, array $reqs ) {
		$mail = AuthenticationRequest::getRequestByClass( $reqs, TemporaryPasswordAuthenticationRequest::class );
		if ( $mail ) {
			return $user->getEmail() ? StatusValue::newGood() : StatusValue::newFatal( 'noemailcreate' );
		}
		$req = AuthenticationRequest::getRequestByClass( $reqs, PasswordAuthenticationRequest::class );
		return $req && $req->username !== null && $req->password !== null
			? $this->checkNewPassword( $user->getName(), $req )
			: StatusValue::newGood();
	}

	/** Makes the user in the service first: it decides who gets the name, and a failure can still be shown. */
	public function beginPrimaryAccountCreation( $user, $creator, array $reqs ) {
		$mail = AuthenticationRequest::getRequestByClass( $reqs, TemporaryPasswordAuthenticationRequest::class );
		$req = $mail ?? AuthenticationRequest::getRequestByClass( $reqs, PasswordAuthenticationRequest::class );
		if ( !$req || $req->username === null || $req->password === null ) {
			return AuthenticationResponse::newAbstain();
		}
		// Nobody knows the password of an account that was created for somebody else, until its owner sets one with
		// the code.
		$password = $mail ? MWCryptRand::generateHex( 64 ) : $req->password;
		$result = $this->service->create( $user->getName(), $password, $this->getAddress() );
		if ( !$result->isOK() ) {
			return AuthenticationResponse::newFail( $result->getMessage() );
		}
		$response = AuthenticationResponse::newPass( $user->getName() );
		if ( $mail ) {
			$this->manager->setAuthenticationSessionData( 'no-email', true ); // the mail with the code is enough
			$response->createRequest = $mail;
		}
		return $response;
	}

	/** @inheritDoc */
	public function finishAccountCreation( $user, $creator, AuthenticationResponse $response ) {
		$this->local->forget( $user->getName(), $this->getNewPasswordExpiry( $user->getName() ) );
		if ( !$response->createRequest instanceof TemporaryPasswordAuthenticationRequest ) {
			return null;
		}
		$this->pushMail( $user->getName(), $creator->getName(), true );
		return 'byemail';
	}

	// Users

	/**
	 * The service does not tell whether a user has a password. So this is true of every account of a person.
	 *
	 * @inheritDoc
	 */
	public function testUserCanAuthenticate( $username ) {
		$name = $this->userNameUtils->getCanonical( $username, UserRigorOptions::RIGOR_USABLE );
		return $name !== false && LocalPasswords::isUsable( $this->local->getRow( $name ) );
	}

	/** @inheritDoc */
	public function testUserExists( $username, $flags = 0 ) {
		$name = $this->userNameUtils->getCanonical( $username, UserRigorOptions::RIGOR_USABLE );
		return $name !== false && $this->local->getRow( $name, $flags ? DB_PRIMARY : DB_REPLICA ) !== null;
	}

	/** @inheritDoc */
	public function providerRevokeAccessForUser( $username ) {
		$name = $this->userNameUtils->getCanonical( $username, UserRigorOptions::RIGOR_USABLE );
		if ( $name === false ) {
			return;
		}
		$result = $this->service->delete( $name );
		if ( !$result->isOK() ) {
			self::throwFailure( $result );
		}
		$this->local->forget( $name, null );
	}

	/** Returns the canonical name of the user in a request, or null. */
	private function getName( ?AuthenticationRequest $req ): ?string {
		if ( !$req || $req->username === null ) {
			return null;
		}
		$name = $this->userNameUtils->getCanonical( $req->username, UserRigorOptions::RIGOR_USABLE );
		return $name === false ? null : $name;
	}

	/** Returns the address of the person, so that the service counts wrong passwords of each address apart. */
	private function getAddress(): string {
		return $this->manager->getRequest()->getIP();
	}

	private static function isCommandLine(): bool {
		return defined( 'MW_ENTRY_POINT' ) && MW_ENTRY_POINT === 'cli';
	}
}
