<?php

namespace MediaWiki\Extension\UserInfo;

/**
 * A reset token as users get it by e-mail. They type it as their password, so it has a form that no password has by
 * chance: "reset-" and 160 random bits.
 */
class ResetCode {
	private const PATTERN = '/^\s*reset-([0-9a-f]{40})\s*$/D';

	public static function format(
		#[\SensitiveParameter]
		string $token
	): string {
		return "reset-$token";
	}

	/** Returns the token in a code, or null if the text is no code. */
	public static function parse(
		#[\SensitiveParameter]
		string $text
	): ?string {
		return preg_match( self::PATTERN, $text, $found ) ? $found[1] : null;
	}
}
