<?php

namespace MediaWiki\Extension\UserInfo;

use CurlHandle;
use InvalidArgumentException;

/**
 * Sends requests to the instances of the service.
 *
 * All caches of a PHP request share one curl handle, which keeps its connections open. So a PHP request makes one TLS
 * connection to each instance that it uses.
 *
 * A request that an instance does not answer goes to the next one, as long as reqTimeout is not over. Instances that did
 * not answer are tried last for some seconds: in this PHP request, and in the following ones if PHP has APCu. No instance
 * is left out.
 */
class HttpClient {
	/** For so many seconds, an instance that did not answer is tried last. */
	private const DEAD_SECONDS = 10;
	/** The kernel repeats a lost SYN after 1 s. So one may be lost. */
	private const CONNECT_SECONDS = 1.2;
	/** The service answers within 2.8 s. */
	private const REQUEST_SECONDS = 3.0;
	/** With less time left, no other instance is tried. */
	private const WORTH_TRYING_SECONDS = 0.1;

	/** @var CurlHandle|resource|null */
	private static $curl = null;
	/** The process that made $curl. A connection must not be used by two processes. */
	private static int $pid = 0;
	/** @var float[] URL => time until which it is tried last */
	private static array $deadUntil = [];

	/** @var string[] URLs that end with a slash */
	private array $urls;
	private float $connectSeconds;
	private float $requestSeconds;
	private ?string $token = null;
	private ?RequestSigner $signer = null;
	/** @var array Options of curl that are the same for all requests */
	private array $options;

	/**
	 * @param array $params
	 *  - url: string|string[], see UserInfoBagOStuff. https, or http to a proxy on this machine
	 *  - caBundlePath: file with the CA of the service's certificate, default: the CAs of the system
	 *  - certFile, keyFile: files with a client certificate and its key
	 *  - tokenFile: file with a bearer token and nothing else
	 *  - signatureKeyFile, signatureKeyId: file with the key that signs requests, and the id that the service knows the key by
	 *  - connTimeout, reqTimeout: the time for a connection and for a request with all attempts, in seconds
	 */
	public function __construct( array $params ) {
		$this->urls = array_map( [ self::class, 'checkUrl' ], array_values( (array)( $params['url'] ?? [] ) ) );
		if ( !$this->urls ) {
			throw new InvalidArgumentException( 'UserInfo: url is missing; set it to the URL of the collection' );
		}
		$this->connectSeconds = $params['connTimeout'] ?? self::CONNECT_SECONDS;
		$this->requestSeconds = $params['reqTimeout'] ?? self::REQUEST_SECONDS;
		if ( isset( $params['tokenFile'] ) ) {
			$this->token = self::readSecret( 'tokenFile', $params['tokenFile'] );
			if ( preg_match( '/[^\x21-\x7e]/', $this->token ) ) {
				throw new InvalidArgumentException( 'UserInfo: the file of tokenFile must contain the token and nothing else' );
			}
		}
		if ( isset( $params['signatureKeyFile'] ) ) {
			$this->signer = new RequestSigner(
				self::readSecret( 'signatureKeyFile', $params['signatureKeyFile'] ), $params['signatureKeyId'] ?? '' );
		}
		$this->options = [
			CURLOPT_RETURNTRANSFER => true,
			CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_1,
			CURLOPT_PATH_AS_IS => true, // ".." is a key
			CURLOPT_NOSIGNAL => true, // for timeouts of less than a second
			CURLOPT_PROXY => '', // ignores the proxies of environment variables
		];
		foreach ( [ 'caBundlePath' => CURLOPT_CAINFO, 'certFile' => CURLOPT_SSLCERT, 'keyFile' => CURLOPT_SSLKEY ] as $param => $option ) {
			if ( isset( $params[$param] ) ) {
				$this->options[$option] = $params[$param];
			}
		}
	}

	/**
	 * Sends a request to the first instance that answers it.
	 *
	 * @param string $method
	 * @param string $path The encoded key
	 * @param string[] $headers name => value
	 * @param string|null $body
	 * @param bool $repeatable False: if an instance may have carried the request out, no other instance is asked
	 * @return Response The last answer
	 */
	public function send(
		string $method,
		string $path,
		array $headers,
		#[\SensitiveParameter]
		?string $body,
		bool $repeatable = true
	): Response {
		$deadline = self::now() + $this->requestSeconds;
		foreach ( $this->livingFirst() as $url ) {
			$left = $deadline - self::now();
			if ( isset( $response ) && $left < self::WORTH_TRYING_SECONDS ) {
				break;
			}
			$response = $this->attempt( $url, $method, $path, $headers, $body, $left, $repeatable );
			if ( $response->isDead() ) {
				$this->markDead( $url );
			}
			if ( !$response->isWorthRetry() || ( !$repeatable && $response->mayBeDone() ) ) {
				break;
			}
		}
		return $response;
	}

	private function attempt(
		string $url,
		string $method,
		string $path,
		array $headers,
		#[\SensitiveParameter]
		?string $body,
		float $seconds,
		bool $repeatable
	): Response {
		$response = new Response( self::endpoint( $url ) );
		$headers['Expect'] = ''; // curl would wait for "100 Continue"
		if ( $body !== null ) {
			$headers += [ 'Content-Type' => 'application/octet-stream' ];
		}
		if ( $this->token !== null ) {
			$headers['Authorization'] = "Bearer $this->token";
		}
		if ( $this->signer ) {
			$headers = $this->signer->sign( $method, $url . $path, $headers, $body );
		}
		$options = [
			CURLOPT_URL => $url . $path,
			CURLOPT_CUSTOMREQUEST => $method,
			CURLOPT_FRESH_CONNECT => !$repeatable, // on an old connection that is closed, curl would repeat the request itself
			CURLOPT_HTTPHEADER => array_map( static fn ( $name ) => "$name: $headers[$name]", array_keys( $headers ) ),
			CURLOPT_HEADERFUNCTION => static function ( $curl, $line ) use ( $response ) {
				$response->readHeader( $line );
				return strlen( $line );
			},
			CURLOPT_TIMEOUT_MS => (int)ceil( $seconds * 1000 ),
			CURLOPT_CONNECTTIMEOUT_MS => (int)ceil( min( $this->connectSeconds, $seconds ) * 1000 ),
		];
		if ( $body !== null ) {
			$options[CURLOPT_POSTFIELDS] = $body;
		}
		$curl = self::curl();
		curl_setopt_array( $curl, $options + $this->options );
		$received = curl_exec( $curl );
		if ( $received === false ) {
			// An answer that has begun and not ended does not count.
			$response = new Response( $response->endpoint );
			$response->detail = '(curl error: ' . curl_errno( $curl ) . ') ' . curl_error( $curl );
			$response->sent = curl_getinfo( $curl, CURLINFO_REQUEST_SIZE ) > 0;
			return $response;
		}
		$response->status = curl_getinfo( $curl, CURLINFO_RESPONSE_CODE );
		$response->sent = true;
		$response->body = $received;
		if ( !$response->isSuccess() ) {
			$response->readProblem();
		}
		return $response;
	}

	/**
	 * Returns the handle of this process, without the options of the last request, and with its open connections.
	 *
	 * @return CurlHandle|resource
	 */
	private static function curl() {
		if ( self::$curl === null || self::$pid !== getmypid() ) {
			self::$curl = curl_init();
			self::$pid = getmypid();
		}
		curl_reset( self::$curl );
		return self::$curl;
	}

	/** Returns the URLs in their order, except that those of instances that did not answer lately are last. */
	private function livingFirst(): array {
		if ( count( $this->urls ) === 1 ) {
			return $this->urls;
		}
		$dead = array_filter( $this->urls, [ self::class, 'isMarkedDead' ] );
		return array_merge( array_diff( $this->urls, $dead ), $dead );
	}

	private static function isMarkedDead( string $url ): bool {
		return ( self::$deadUntil[$url] ?? 0 ) > self::now()
			|| ( self::hasApcu() && apcu_exists( self::apcuKey( $url ) ) );
	}

	private function markDead( string $url ): void {
		if ( count( $this->urls ) === 1 ) {
			return;
		}
		self::$deadUntil[$url] = self::now() + self::DEAD_SECONDS;
		if ( self::hasApcu() ) {
			apcu_store( self::apcuKey( $url ), 1, self::DEAD_SECONDS );
		}
	}

	private static function hasApcu(): bool {
		return function_exists( 'apcu_enabled' ) && apcu_enabled();
	}

	private static function apcuKey( string $url ): string {
		return "userinfo:dead:$url";
	}

	/** Returns seconds of a clock that nobody sets. */
	private static function now(): float {
		return hrtime( true ) / 1e9;
	}

	/** Returns host and port. */
	private static function endpoint( string $url ): string {
		return explode( '/', $url )[2];
	}

	/** Returns the URL with a slash at its end. Fails closed: values are never sent over a network without TLS. */
	private static function checkUrl( string $url ): string {
		if ( !preg_match( '!^(https://[^/?#@]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?)/[^?#]+$!D', $url ) ) {
			throw new InvalidArgumentException(
				'UserInfo: url must be like https://userinfo.example:8443/sessions/v1/; http is for a proxy on this machine only' );
		}
		return rtrim( $url, '/' ) . '/';
	}

	/** Returns the trimmed content of a secret file. Errors show neither the content nor the file's name. */
	private static function readSecret( string $param, string $file ): string {
		$text = is_readable( $file ) ? trim( file_get_contents( $file ) ) : '';
		if ( $text === '' ) {
			throw new InvalidArgumentException(
				"UserInfo: the file of $param does not exist, cannot be read by PHP's user, or is empty; $param is the path of a file" );
		}
		return $text;
	}
}
