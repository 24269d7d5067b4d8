<?php
/**
 * The session cache of a wiki that moves from one cache to another. LocalSettings.php includes this file after settings.php, if a test
 * wants that. It reads move.json for each request.
 */

$move = json_decode( file_get_contents( __DIR__ . '/move.json' ), true );
$wgObjectCacheSessionExpiry = $move['expiry'];
$wgObjectCaches['database'] = $wgObjectCaches[CACHE_DB];
foreach ( $move['caches'] as $name => $params ) {
	$wgObjectCaches[$name] = $params;
}
$wgSessionCacheType = $move['order'][0];
if ( count( $move['order'] ) > 1 ) {
	$wgObjectCaches['moving'] = [
		'class' => 'MultiWriteBagOStuff',
		'caches' => array_map( static function ( $name ) {
			return [ 'factory' => [ 'ObjectCache', 'getInstance' ], 'args' => [ $name ] ];
		}, $move['order'] ),
	];
	$wgSessionCacheType = 'moving';
}
