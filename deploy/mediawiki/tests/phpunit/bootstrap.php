<?php
/**
 * Loads MediaWiki's classes without a wiki, and those of the extension.
 *
 *   MW_INSTALL_PATH=/usr/share/mediawiki phpunit -c deploy/mediawiki/phpunit.xml.dist
 *
 * The tests need two servers, which internal/e2e/mediawiki starts. Environment variables:
 *
 *   USERINFO_URL       the collection of a running service, for example https://127.0.0.1:8443/sessions/v1/. It must have a
 *                      fence, except for keys that end in ":lock"
 *   USERINFO_FILES     directory with ca.crt, token, client.crt, client.key and signature.key (its id is "dev") for it
 *   USERINFO_FAKE      origin of a server that answers as its URL says, see ScriptedServer of internal/e2e/mediawiki
 *   USERINFO_FAKE_CA   its CA
 */

foreach ( [ 'MW_INSTALL_PATH', 'USERINFO_URL', 'USERINFO_FILES', 'USERINFO_FAKE', 'USERINFO_FAKE_CA' ] as $name ) {
	if ( !getenv( $name ) ) {
		throw new RuntimeException( "set $name, see the beginning of " . __FILE__ );
	}
}
$root = getenv( 'MW_INSTALL_PATH' );
require_once "$root/includes/AutoLoader.php";
require_once "$root/vendor/autoload.php";

spl_autoload_register( static function ( string $class ): void {
	$prefix = 'MediaWiki\\Extension\\UserInfo\\';
	if ( strpos( $class, $prefix ) !== 0 ) {
		return;
	}
	$name = substr( $class, strlen( $prefix ) );
	$file = strpos( $name, 'Tests\\' ) === 0
		? __DIR__ . '/' . substr( $name, strlen( 'Tests\\' ) ) . '.php'
		: __DIR__ . "/../../src/$name.php";
	if ( is_file( $file ) ) {
		require_once $file;
	}
} );
