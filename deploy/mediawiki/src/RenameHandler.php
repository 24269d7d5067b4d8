<?php

namespace MediaWiki\Extension\UserInfo;

use Wikimedia\Rdbms\ILoadBalancer;

/** Lets a renamed user log in only after he has set a new password with a reset code. See LocalPasswords::RENAMED. */
class RenameHandler {
	private LocalPasswords $local;

	public function __construct( ILoadBalancer $loadBalancer ) {
		$this->local = new LocalPasswords( $loadBalancer );
	}

	/**
	 * Hook of MediaWiki, and of the extension Renameuser before 1.40.
	 *
	 * @param int $uid
	 * @param string $old
	 * @param string $new
	 */
	public function onRenameUserPreRename( $uid, $old, $new ): void {
		global $wgUserInfoPasswords;
		if ( $wgUserInfoPasswords ) {
			$this->local->markRenamed( (int)$uid );
		}
	}
}
