<?php

namespace MediaWiki\Extension\UserInfo;

/**
 * Tells a user whose logout did not reach every datacentre, or did not reach the store. It only reads
 * UserInfoBagOStuff::getDeleteState(), so it does nothing in a wiki that does not use the class.
 *
 * The skins log out through the API and then load another page. A cookie without any secret carries the notice to that page.
 */
class LogoutNotice {
	private const COOKIE = 'UserInfoLogout';
	private const COOKIE_SECONDS = 60;
	/** The class of the notice's box */
	private const BOX = 'mw-userinfo-logout';
	private const MESSAGES = [
		UserInfoBagOStuff::NOT_EVERYWHERE => 'userinfo-logout-not-everywhere',
		UserInfoBagOStuff::DELETE_FAILED => 'userinfo-logout-failed',
	];

	/**
	 * Hook of Special:UserLogout and action=logout.
	 *
	 * @param \User|\MediaWiki\User\User $user
	 * @param string &$injectedHtml
	 * @param string $oldName
	 */
	public function onUserLogoutComplete( $user, &$injectedHtml, $oldName ): void {
		$state = UserInfoBagOStuff::getDeleteState();
		if ( !isset( self::MESSAGES[$state] ) ) {
			return;
		}
		if ( defined( 'MW_API' ) ) {
			$user->getRequest()->response()->setCookie( self::COOKIE, (string)$state, time() + self::COOKIE_SECONDS );
		} else {
			$injectedHtml .= NoticeBox::html( self::MESSAGES[$state], self::BOX );
		}
	}

	/**
	 * Shows the notice on the page after a logout through the API, once.
	 *
	 * @param \OutputPage|\MediaWiki\Output\OutputPage $out
	 * @param \Skin $skin
	 */
	public function onBeforePageDisplay( $out, $skin ): void {
		$request = $out->getRequest();
		$state = (int)$request->getCookie( self::COOKIE );
		if ( isset( self::MESSAGES[$state] ) ) {
			$request->response()->clearCookie( self::COOKIE );
			$out->disableClientCache();
			NoticeBox::prepend( $out, self::MESSAGES[$state], self::BOX );
		}
	}

	/**
	 * Adds a warning to the result of action=logout.
	 *
	 * @param \ApiBase|\MediaWiki\Api\ApiBase $module
	 */
	public function onAPIAfterExecute( $module ): void {
		$state = UserInfoBagOStuff::getDeleteState();
		if ( $module->getModuleName() === 'logout' && isset( self::MESSAGES[$state] ) ) {
			$module->addWarning( self::MESSAGES[$state] );
		}
	}
}
