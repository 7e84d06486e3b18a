# shellcheck shell=sh
# What the scripts share. Sourced, not run; expects to be started from anywhere inside the tree.
# Works on a bare Debian 12 with a shell, git, and root or sudo.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools_dir=$root/build/tools
export LC_ALL=C.UTF-8

build_packages="gcc libc6-dev meson ninja-build pkg-config python3 libmicrohttpd-dev \
libcurl4-openssl-dev libjansson-dev libsqlite3-dev libyaml-dev libssl-dev libcmocka-dev libhiredis-dev \
libpq-dev libmariadb-dev libmongoc-dev"

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "need root or sudo to run: $*"
	fi
}

# Those of the named packages that are not installed.
missing_packages() {
	for _p; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$_p" 2>/dev/null) in
		installed) ;;
		*) printf '%s ' "$_p" ;;
		esac
	done
}

# patiently WHAT COMMAND...: a command that a network can fail for a moment, up to three times. Says each time what
# has failed.
patiently() {
	_what=$1
	shift
	for _pause in 5 20 ''; do
		if "$@"; then
			return 0
		elif [ -n "$_pause" ]; then
			say "$_what failed; once more in $_pause s" >&2
			sleep "$_pause"
		fi
	done
	say "$_what failed three times" >&2
	return 1
}

# Another one that installs something at this moment is waited for.
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Use-Pty=0 "$@"
}

# The lists of an archive that one does not need may stay out of reach: what they are read for decides.
apt_update_once() {
	[ -z "${_apt_updated:-}" ] || return 0
	if apt_get -o APT::Update::Error-Mode=any update; then
		_apt_updated=1
	else
		say "apt-get update failed" >&2
	fi
}

apt_install() {
	apt_update_once
	apt_get install -y --no-install-recommends "$@" >/dev/null || {
		_apt_updated= # the archive may have moved on
		return 1
	}
}

# Installs what is missing; says nothing and takes no time when all is there.
need_packages() {
	_missing=$(missing_packages "$@")
	[ -n "$_missing" ] || return 0
	say "installing $_missing"
	# Installing a library must not start a service: for the time of the call, policy-rc.d says no.
	_policy=/usr/sbin/policy-rc.d
	if [ -e $_policy ] && ! grep -q 'of herald' $_policy; then # one of ours was left by a call that was killed
		_policy=
	else
		printf '#!/bin/sh\n# Of herald: scripts/lib.sh.\nexit 101\n' | as_root tee $_policy >/dev/null
		as_root chmod 755 $_policy
	fi
	_ok=true
	# shellcheck disable=SC2086 # a list of names
	patiently "installing $_missing" apt_install $_missing || _ok=false
	[ -z "$_policy" ] || as_root rm -f "$_policy"
	$_ok || die "could not install: $_missing"
}

# Node.js and npm, wherever they come from: who has them from elsewhere cannot install Debian's npm beside them.
need_node() {
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
		need_packages nodejs npm
	fi
}

# npm_ci FOLDER: installs there what its package-lock.json pins, from what npm has kept of earlier downloads as far as
# that goes.
npm_ci() {
	_kept=--prefer-offline
	patiently "npm ci in $1" npm_ci_once "$1"
}

npm_ci_once() {
	(cd "$1" && npm ci "$_kept" --fetch-timeout=60000 --fetch-retry-mintimeout=2000 --no-fund --no-audit --ignore-scripts \
		--loglevel=error) >&2 || {
		_kept=--prefer-online # it may be older than the pins
		return 1
	}
}

# The database servers of tests/servers, as programs alone: no service, and no cluster of PostgreSQL's
# packaging, which its installation would otherwise set up.
need_servers() {
	_conf=/etc/postgresql-common/createcluster.d/herald-tests.conf
	if [ -n "$(missing_packages postgresql-15)" ]; then
		as_root mkdir -p ${_conf%/*}
		printf 'create_main_cluster = false\n' | as_root tee $_conf >/dev/null
	fi
	need_packages postgresql-15 mariadb-server-core mariadb-client-core faketime
	[ ! -e $_conf ] || as_root rm -f $_conf
}

# need_tool COMMAND PACKAGE: prints the path of COMMAND. When it is not installed it is unpacked from
# its Debian package into build/tools, so that no service of that package is ever set up.
need_tool() {
	for _dir in $(printf '%s' "$PATH" | tr ':' ' ') /usr/sbin /sbin "$tools_dir/usr/bin" "$tools_dir/usr/sbin"; do
		if [ -x "$_dir/$1" ]; then
			printf '%s\n' "$_dir/$1"
			return 0
		fi
	done
	patiently "fetching the package $2" unpack_tool "$2" >&2 || return 1
	for _dir in "$tools_dir/usr/bin" "$tools_dir/usr/sbin"; do
		if [ -x "$_dir/$1" ]; then
			printf '%s\n' "$_dir/$1"
			return 0
		fi
	done
	return 1
}

# Nothing appears under its name before all of it is there.
unpack_tool() {
	apt_update_once
	rm -rf "$tools_dir/new" && mkdir -p "$tools_dir/new" &&
		(cd "$tools_dir/new" && apt-get -qq -o Acquire::Retries=3 download "$1" && dpkg-deb -x ./*.deb . && rm ./*.deb) &&
		cp -alf "$tools_dir/new/." "$tools_dir/" && rm -rf "$tools_dir/new" && return
	_apt_updated=
	return 1
}

# configure DIR [MESON OPTIONS]: sets a build directory up, or leaves one that is there as it is.
configure() {
	_build=$1
	shift
	if [ ! -f "$_build/build.ninja" ]; then
		meson setup "$_build" "$root" "$@" >"$_build.log" 2>&1 || {
			cat "$_build.log" >&2
			return 1
		}
		mv "$_build.log" "$_build/setup.log"
	fi
}

# compile DIR [TARGETS]: quiet unless it fails.
compile() {
	_build=$1
	shift
	if ! ninja -C "$_build" "$@" >"$_build/compile.log" 2>&1; then
		grep -v '^\[' "$_build/compile.log" | head -60 >&2
		return 1
	fi
}

build_herald() {
	# shellcheck disable=SC2086 # a list of names
	need_packages $build_packages
	need_node
	configure "$root/build" || die "could not configure $root/build"
	compile "$root/build" src/herald || die "could not build; see $root/build/compile.log"
	ln -sf src/herald "$root/build/herald"
}

# A TCP port of the loopback that nobody uses right now.
free_port() {
	python3 "$root/tools/free_port.py"
}
