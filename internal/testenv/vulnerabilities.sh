#!/bin/sh
# Usage: vulnerabilities.sh GOVULNCHECK RESULT [DATABASE]
#
# Looks for known vulnerabilities in code that the module calls. GOVULNCHECK is the Go package of the program, with its
# version. RESULT is a file that receives one or two lines about the result, for a summary at the end of a longer run.
# DATABASE is the URL of a copy of Go's database of vulnerabilities, https:// or file://. Empty means the original.
#
# It fails if there is a known vulnerability, and if govulncheck itself fails. If the program cannot be fetched or the
# database cannot be reached, it succeeds, and RESULT says that nothing was checked. If curl is installed, the script first
# tests whether the server of the database answers: on a fresh machine it takes a minute to build govulncheck.
set -eu
cd "$(dirname "$0")/../.."
usage="usage: vulnerabilities.sh GOVULNCHECK RESULT [DATABASE]"
govulncheck=${1:?$usage}
result=${2:?$usage}
database=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$result")"
rm -f "$result"

# unchecked writes the result of a run that checked nothing.
unchecked() {
	cat >"$result" <<-END
		WARNING: known vulnerabilities were NOT checked: $1
		Run \`make vulnerabilities\` where Go's database of vulnerabilities can be reached, or add VULNDB=URL of a copy of it.
	END
}

case $database in
file://*) ;;
*)
	code=0
	! command -v curl >/dev/null || curl -sSI --max-time 60 -o /dev/null "${database:-https://vuln.go.dev}" 2>"$work/log" || code=$?
	case $code in
	5 | 6 | 7 | 28) # no name, no connection or no answer; govulncheck judges everything else
		unchecked "$(tail -n 1 "$work/log")"
		exit 0
		;;
	esac
	;;
esac

if ! GOBIN=$work go install "$govulncheck" >"$work/log" 2>&1; then
	unchecked "$govulncheck cannot be installed: $(tail -n 1 "$work/log")"
	exit 0
fi

# vulnerabilities PACKAGES looks for vulnerabilities in what these packages call.
vulnerabilities() {
	"$work/govulncheck" ${database:+-db "$database"} "$1" >"$work/log" 2>&1
}

code=0
vulnerabilities ./... || code=$?
case $code in
0)
	echo "govulncheck: the service, its tests and tools call no code with a known vulnerability" >"$result"
	;;
3) # at least one vulnerability
	cat "$work/log" >&2
	if vulnerabilities ./cmd/userinfo; then
		echo "vulnerabilities.sh: only tests or tools call the code above; the service does not" >&2
	else
		echo "vulnerabilities.sh: the service itself calls such code: see docs/security.md" >&2
	fi
	exit 1
	;;
*)
	if ! grep -q '^govulncheck: fetching vulnerabilities:' "$work/log"; then
		cat "$work/log" >&2
		echo "vulnerabilities.sh: govulncheck failed with code $code" >&2
		exit 1
	fi
	unchecked "$(grep -m 1 '^govulncheck: fetching' "$work/log")"
	;;
esac
