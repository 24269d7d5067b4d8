<?php

namespace MediaWiki\Extension\UserInfo;

use Psr\Log\AbstractLogger;
use Psr\Log\LoggerInterface;

/**
 * Passes messages on without the cache keys that MediaWiki's classes put into their context, such as those of reads that
 * were done twice. A session key is as good as a password.
 */
class KeyHidingLogger extends AbstractLogger {
	private const KEY_FIELDS = [ 'key', 'cachekey', 'cacheKey' ];

	private LoggerInterface $logger;

	public function __construct( LoggerInterface $logger ) {
		$this->logger = $logger;
	}

	/** @inheritDoc */
	public function log( $level, $message, array $context = [] ): void {
		foreach ( self::KEY_FIELDS as $field ) {
			if ( isset( $context[$field] ) ) {
				$context[$field] = '(hidden)';
			}
		}
		$this->logger->log( $level, $message, $context );
	}
}
