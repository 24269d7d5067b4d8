<?php
/**
 * Makes hashes with MediaWiki's own PasswordFactory and its default configuration, and verifies hashes with it.
 *
 *   php password_hashes.php <REQUEST
 *
 * The request is JSON: {"passwords": [TEXT…], "hashes": [{"password": TEXT, "hash": TEXT}…], "cheap": BOOLEAN}. If
 * "cheap" is true, Argon2 hashes need less work than by default. The response is JSON: "made" has a hash of each password
 * in each scheme, and "right" says for each of "hashes" whether the password is right.
 * MW_INSTALL_PATH is the directory of MediaWiki.
 */

declare( strict_types = 1 );

require getenv( 'MW_INSTALL_PATH' ) . '/includes/AutoLoader.php';
require getenv( 'MW_INSTALL_PATH' ) . '/vendor/autoload.php';

$class = class_exists( MediaWiki\Password\PasswordFactory::class ) ? MediaWiki\Password\PasswordFactory::class : 'PasswordFactory';
$config = MediaWiki\MainConfigSchema::PasswordConfig['default'];
$request = json_decode( stream_get_contents( fopen( 'php://stdin', 'r' ) ), true, 8, JSON_THROW_ON_ERROR );
if ( $request['cheap'] ?? false ) {
	$config['argon2'] = [ 'memory_cost' => 8192, 'time_cost' => 1 ] + $config['argon2'];
}
$factory = new $class( $config, 'pbkdf2' );

$made = [];
foreach ( $request['passwords'] as $password ) {
	foreach ( $config as $scheme => $settings ) {
		if ( isset( $settings['types'] ) ) { // layered: made from a hash of the first scheme, without the password
			$hash = $factory->newFromType( $scheme );
			$hash->partialCrypt( $factory->newFromPlaintext( $password, $factory->newFromType( $settings['types'][0] ) ) );
		} else {
			$hash = $factory->newFromPlaintext( $password, $factory->newFromType( $scheme ) );
		}
		$made[] = [ 'scheme' => $scheme, 'password' => $password, 'hash' => $hash->toString() ];
	}
}
$right = [];
foreach ( $request['hashes'] as $each ) {
	$right[] = $factory->newFromCiphertext( $each['hash'] )->verify( $each['password'] );
}
echo json_encode( [ 'made' => $made, 'right' => $right ], JSON_THROW_ON_ERROR );
