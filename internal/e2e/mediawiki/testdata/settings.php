<?php
/**
 * Settings of a wiki of the tests. LocalSettings.php, which MediaWiki's installer has written, includes this file. It reads
 * test.json for each request, so a test can change settings between two requests.
 */

// A test waits until as many requests have ended as have started, because MediaWiki writes sessions after it has sent the
// response. This function is the last one that runs: it is registered when those of MediaWiki are registered already.
// Maintenance scripts do not count: a test may kill one.
if ( PHP_SAPI !== 'cli' ) {
	file_put_contents( __DIR__ . '/started', 'x', FILE_APPEND );
	register_shutdown_function( static function () {
		register_shutdown_function( static function () {
			file_put_contents( __DIR__ . '/ended', 'x', FILE_APPEND );
		} );
	} );
}

$test = json_decode( file_get_contents( __DIR__ . '/test.json' ), true );
$wgServer = $test['server'];
$wgSitename = $test['site'] ?? $wgSitename;
$wgScriptPath = '';
$wgCacheDirectory = __DIR__ . '/cache';
$wgMainCacheType = empty( $test['sharedCache'] ) ? CACHE_ACCEL : CACHE_DB;
if ( !empty( $test['sharedCache'] ) ) {
	// On a busy machine, MediaWiki's cache may return a user from before a change of a moment ago, with the old token. A session with
	// that token ends at once. Tests change passwords faster than people do.
	$wgHooks['MediaWikiServices'][] = static function ( $services ) {
		$services->redefineService( 'MainWANObjectCache', static fn () => WANObjectCache::newEmpty() );
	};
}
$wgJobRunRate = 0;
$wgPasswordAttemptThrottle = [];
$wgShowExceptionDetails = true;
$wgDevelopmentWarnings = true; // PHP reports the use of functions that MediaWiki has deprecated
$wgAllowExternalReqID = true;
$wgDebugLogGroups['objectcache'] = __DIR__ . '/objectcache.log';

$wgCachePrefix = $test['prefix'];
$wgObjectCacheSessionExpiry = $test['expiry'];
$wgObjectCaches['userinfo'] = $test['cache'];
$wgSessionCacheType = 'userinfo';
$wgUserInfoPasswords = $test['passwords'] ?? [];
if ( $test['extension'] !== '' ) {
	wfLoadExtension( 'UserInfo', $test['extension'] );
}
$wgSessionProviders['derived'] = [ 'factory' => static function () {
	require_once __DIR__ . '/DerivedSessionProvider.php';
	return new DerivedSessionProvider;
} ];
require __DIR__ . '/password_settings.php';
