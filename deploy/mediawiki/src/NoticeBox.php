<?php

namespace MediaWiki\Extension\UserInfo;

/** A notice that looks like MediaWiki's own warnings, on all versions. */
class NoticeBox {
	/** The styles of the box, since 1.41. Before, every page has them. */
	private const STYLES = 'mediawiki.codex.messagebox.styles';

	/**
	 * Returns the HTML of a message in a box.
	 *
	 * @param string $message The name of the message
	 * @param string $class A class for the box
	 */
	public static function html( string $message, string $class ): string {
		$html = class_exists( \MediaWiki\Html\Html::class ) ? \MediaWiki\Html\Html::class : \Html::class; // 1.39
		return $html::warningBox( wfMessage( $message )->parse(), $class );
	}

	/**
	 * Puts a box on top of a page, in the hook BeforePageDisplay. MediaWiki has chosen the page's styles before that hook.
	 *
	 * @param \OutputPage|\MediaWiki\Output\OutputPage $out
	 * @param string $message
	 * @param string $class
	 */
	public static function prepend( $out, string $message, string $class ): void {
		if ( $out->getResourceLoader()->isModuleRegistered( self::STYLES ) ) {
			$out->addModuleStyles( self::STYLES );
		}
		$out->prependHTML( self::html( $message, $class ) );
	}
}
