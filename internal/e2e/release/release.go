// Package release tests what `make release` builds: the files of a release, and the Debian package from its installation to its
// purge on a machine with systemd. The commands of "Install the Debian package" in docs/operations.md run there as they are
// written.
//
// `make reproducible` tests that two releases of the same source are identical.
package release
