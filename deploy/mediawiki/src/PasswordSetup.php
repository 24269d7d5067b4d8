<?php

namespace MediaWiki\Extension\UserInfo;

use MediaWiki\Auth\LocalPasswordPrimaryAuthenticationProvider;
use MediaWiki\Auth\TemporaryPasswordPrimaryAuthenticationProvider;
use RuntimeException;

/** Turns passwords on if $wgUserInfoPasswords is set. */
class PasswordSetup {
	private const REPLACED = [ TemporaryPasswordPrimaryAuthenticationProvider::class, LocalPasswordPrimaryAuthenticationProvider::class ];

	/**
	 * Puts our provider in place of MediaWiki's own ones, which would write hashes into the database. Called when the
	 * extension is loaded, after LocalSettings.php.
	 */
	public static function onRegistration(): void {
		global $wgUserInfoPasswords, $wgAuthManagerAutoConfig, $wgAuthManagerConfig;
		if ( !$wgUserInfoPasswords ) {
			return;
		}
		self::checkConfig( $wgAuthManagerConfig );
		foreach ( self::REPLACED as $class ) {
			unset( $wgAuthManagerAutoConfig['primaryauth'][$class] );
		}
		$wgAuthManagerAutoConfig['primaryauth'][PasswordProvider::class] = [
			'class' => PasswordProvider::class,
			'services' => [ 'DBLoadBalancer', 'JobQueueGroup', 'MainObjectStash', 'BotPasswordStore' ],
			'args' => [ [ 'authoritative' => true ] ],
			'sort' => 100,
		];
	}

	/**
	 * Refuses providers of $wgAuthManagerConfig that would accept or write hashes beside the service. MediaWiki
	 * ignores the automatic configuration if this one is set. It fails closed: also without our provider.
	 */
	public static function checkConfig( ?array $config ): void {
		if ( !$config ) {
			return;
		}
		$classes = array_column( $config['primaryauth'] ?? [], 'class' );
		if ( array_intersect( self::REPLACED, $classes ) || !in_array( PasswordProvider::class, $classes, true ) ) {
			throw new RuntimeException( 'UserInfo: $wgAuthManagerConfig must have ' . PasswordProvider::class .
				' in place of ' . implode( ' and ', self::REPLACED ) . ', because $wgUserInfoPasswords is set' );
		}
	}
}
