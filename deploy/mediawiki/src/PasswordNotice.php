<?php

namespace MediaWiki\Extension\UserInfo;

/**
 * Tells a user whose new password is not in every datacentre yet. The page after a change may be a redirect, so the
 * session carries the notice to the next page.
 */
class PasswordNotice {
	private const SESSION_KEY = 'UserInfoPasswordNotice';
	private const MESSAGE = 'userinfo-password-not-everywhere';

	private static bool $pending = false;

	/**
	 * Notes that the change of this PHP request is not everywhere.
	 *
	 * @param \WebRequest|\MediaWiki\Request\WebRequest $request
	 */
	public static function note( $request ): void {
		self::$pending = true;
		if ( !defined( 'MW_API' ) ) {
			$request->getSession()->set( self::SESSION_KEY, true );
		}
	}

	/**
	 * @param \OutputPage|\MediaWiki\Output\OutputPage $out
	 * @param \Skin $skin
	 */
	public function onBeforePageDisplay( $out, $skin ): void {
		$session = $out->getRequest()->getSession();
		if ( $session->exists( self::SESSION_KEY ) ) {
			$session->remove( self::SESSION_KEY );
			$out->disableClientCache();
			NoticeBox::prepend( $out, self::MESSAGE, 'mw-userinfo-password' );
		}
	}

	/**
	 * Adds a warning to the result of the API.
	 *
	 * @param \ApiBase|\MediaWiki\Api\ApiBase $module
	 */
	public function onAPIAfterExecute( $module ): void {
		if ( self::$pending && in_array( $module->getModuleName(), [ 'changeauthenticationdata', 'clientlogin' ], true ) ) {
			$module->addWarning( self::MESSAGE );
		}
	}
}
