<?php

namespace MediaWiki\Extension\UserInfo\Tests;

use Psr\Log\AbstractLogger;

/** Keeps what was logged, with the context. */
class RecordingLogger extends AbstractLogger {
	/** @var string[] "LEVEL: MESSAGE CONTEXT" */
	public array $lines = [];

	/** @inheritDoc */
	public function log( $level, $message, array $context = [] ): void {
		$this->lines[] = "$level: $message " . json_encode( $context, JSON_UNESCAPED_SLASHES );
	}

	public function text(): string {
		return implode( "\n", $this->lines );
	}
}
