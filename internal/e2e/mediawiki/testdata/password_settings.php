<?php
/** Settings for the tests of passwords. Included by settings.php. */

$wgEnableEmail = true;
$wgPasswordReminderResendTime = 24;
$wgAllowHTMLEmail = false;
$wgDebugLogGroups['userinfo'] = __DIR__ . '/userinfo.log';
$wgDebugLogFile = __DIR__ . '/debug.log';
$wgGroupPermissions['*']['createaccount'] = true;
$wgAccountCreationThrottle = 0;
$wgCdnServersNoPurge = [ '127.0.0.1' ]; // the tests' browsers name their addresses in X-Forwarded-For
$wgReauthenticateTime = [ 'default' => 86400 ];
if ( is_dir( "$IP/extensions-core/Renameuser" ) ) { // before 1.40, an extension
	wfLoadExtension( 'Renameuser', "$IP/extensions-core/Renameuser/extension.json" );
}

// Mails are files.
$wgHooks['AlternateUserMailer'][] = static function ( $headers, $to, $from, $subject, $body ) {
	$mail = json_encode( [ 'to' => $to[0]->address, 'subject' => $subject, 'body' => $body ] );
	file_put_contents( __DIR__ . '/mails', "$mail\n", FILE_APPEND );
	return false;
};
