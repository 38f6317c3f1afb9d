#!/bin/sh
# Fetches axe-core, whose rules the browser tests apply to the pages, with npm, where it is missing. It is no part of the program
# (its licence is the MPL 2.0), and lies in the user's cache. Without it the tests apply their own rules alone, and say so.
#
#   axe.sh          fetches it, or says why it can't
#   axe.sh --path   only prints where it is to be
set -eu

version=4.14.1
sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
file=${XDG_CACHE_HOME:-${HOME:-/nowhere}/.cache}/invoicer/axe-core-$version.min.js

if [ "${1:-}" = --path ]; then
	echo "$file"
	exit
fi
[ ! -s "$file" ] || exit 0

fetch() {
	command -v npm >/dev/null 2>&1 || {
		echo 'npm is missing' >&2
		return 1
	}
	(cd "$1" && npm pack --silent "axe-core@$version" >/dev/null) || return 1
	tar -xzf "$1/axe-core-$version.tgz" -C "$1" package/axe.min.js || return 1
	if command -v sha256sum >/dev/null 2>&1; then got=$(sha256sum "$1/package/axe.min.js"); else got=$(shasum -a 256 "$1/package/axe.min.js"); fi
	if [ "${got%% *}" != "$sum" ]; then
		echo 'axe-core is another one than expected' >&2
		return 1
	fi
	mkdir -p "${file%/*}" && mv "$1/package/axe.min.js" "$file"
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fetch "$folder" || echo 'axe-core was not fetched: the tests of pages in a browser apply their own rules alone' >&2
