<?php

namespace MediaWiki\Extension\UserInfo;

// ParentBagOStuff is MediaWiki's class of this purpose. It is in a namespace since MediaWiki 1.43.
class_alias(
	class_exists( \Wikimedia\ObjectCache\MediumSpecificBagOStuff::class )
		? \Wikimedia\ObjectCache\MediumSpecificBagOStuff::class
		: \MediumSpecificBagOStuff::class,
	__NAMESPACE__ . '\ParentBagOStuff'
);
