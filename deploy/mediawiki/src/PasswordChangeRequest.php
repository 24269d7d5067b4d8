<?php

namespace MediaWiki\Extension\UserInfo;

use MediaWiki\Auth\AuthManager;
use MediaWiki\Auth\PasswordAuthenticationRequest;

/** A change of the password. The service needs the current password, because it does not know who is logged in. */
class PasswordChangeRequest extends PasswordAuthenticationRequest {
	/** @var string|null The current password */
	public $current = null;

	/** Whether the user need not type the current password, because it was part of the login. */
	private bool $isKnown;

	public function __construct(
		#[\SensitiveParameter]
		?string $current = null
	) {
		$this->current = $current;
		$this->isKnown = $current !== null;
		$this->action = AuthManager::ACTION_CHANGE;
	}

	/** Returns the id under which Special:ChangePassword and the API look for it. */
	public function getUniqueId() {
		return PasswordAuthenticationRequest::class;
	}

	/** @inheritDoc */
	public function getFieldInfo() {
		$current = [
			'type' => 'password',
			'label' => wfMessage( 'oldpassword' ),
			'help' => wfMessage( 'userinfo-current-help' ),
			'sensitive' => true,
		];
		return ( $this->isKnown ? [] : [ 'current' => $current ] ) + parent::getFieldInfo();
	}
}
