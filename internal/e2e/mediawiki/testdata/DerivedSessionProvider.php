<?php

use MediaWiki\Session\SessionInfo;
use MediaWiki\Session\SessionProvider;
use MediaWiki\Session\UserInfo;

/**
 * Logs in the user whom the header X-Derived-User names. The session's id is derived from X-Derived-Token, as OAuth derives
 * it from the access token: every request with the same token has the same session.
 */
class DerivedSessionProvider extends SessionProvider {
	/** @inheritDoc */
	public function provideSessionInfo( $request ) {
		$name = $request->getHeader( 'X-Derived-User' );
		if ( $name === false ) {
			return null;
		}
		return new SessionInfo( SessionInfo::MAX_PRIORITY, [
			'provider' => $this,
			'id' => $this->hashToSessionId( (string)$request->getHeader( 'X-Derived-Token' ) ),
			'userInfo' => UserInfo::newFromName( $name, true ),
			'persisted' => true,
			'forceUse' => true,
		] );
	}

	/** @inheritDoc */
	public function persistsSessionId() {
		return false;
	}

	/** @inheritDoc */
	public function canChangeUser() {
		return false;
	}

	/** @inheritDoc */
	public function persistSession( $session, $request ) {
	}

	/** @inheritDoc */
	public function unpersistSession( $request ) {
	}
}
