# shellcheck shell=sh
# A bare Debian 12 in a folder, for checks that must not lean on what this machine has. Sourced behind
# lib.sh; needs root. It is fetched with debootstrap from where this machine's apt gets its packages.

roots=${root:?}/build/roots

# Prints "ADDRESS SUITE COMPONENT" of every Debian archive that apt has been told of, for that suite's release.
debian_archives() {
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
		sed -n '/ bookworm\(-security\|-updates\)\{0,1\} /p' | sort -u
}

# can_make_roots: whether this machine lets us, or the reason why not on standard output.
can_make_roots() {
	if [ "$(id -u)" -ne 0 ]; then
		say "needs root"
	elif ! unshare --mount --pid --fork mount -t tmpfs tmpfs /mnt 2>/dev/null; then
		say "mount is not allowed here"
	elif [ -z "$(debian_archives)" ]; then
		say "apt knows no archive of Debian 12"
	else
		return 0
	fi
	return 1
}

# In namespaces of its own: whatever happens, no mount and no process stays.
bootstrap() {
	rm -rf --one-file-system "$_new"
	unshare --mount --pid --fork --kill-child --mount-proc debootstrap --variant=minbase bookworm \
		"$_new" "$_main" >"$roots/debootstrap.log" 2>&1 || {
		tail -n 5 "$roots/debootstrap.log" >&2
		return 1
	}
}

# make_root DIR: a new bare Debian 12, with the machine's way to the archive. The outcome of debootstrap is kept
# in build/roots for the next time, as are the packages that keep_packages found; apt sees whether they are still right.
make_root() {
	need_packages debootstrap
	mkdir -p "$roots"
	_main=$(debian_archives | sed -n 's/ bookworm main$//p' | head -n 1)
	exec 9>"$roots/lock"
	flock 9 # several checks may run at a time
	if [ ! -f "$roots/bookworm.tar" ]; then
		say "fetching a bare Debian 12"
		_new=$roots/new
		patiently debootstrap bootstrap || die "could not fetch a bare Debian 12; see $roots/debootstrap.log"
		rm -rf "${_new:?}/dev" "$_new/etc/apt/sources.list" "$_new"/var/cache/apt/archives/*.deb
		mkdir "$_new/dev"
		tar -C "$_new" -cf "$roots/bookworm.tar.new" . || die "cannot write $roots/bookworm.tar.new"
		mv "$roots/bookworm.tar.new" "$roots/bookworm.tar"
		rm -rf "$_new"
	fi
	exec 9>&-
	mkdir -p "$1"
	tar -C "$1" -xpf "$roots/bookworm.tar" || die "cannot unpack $roots/bookworm.tar"
	mkdir -p "$roots/archives"
	find "$roots/archives" -name '*.deb' -exec cp -lnt "$1/var/cache/apt/archives" {} +
	chmod 755 "$1" # mktemp makes folders that only root may enter
	debian_archives | sed 's/^/deb /' >"$1/etc/apt/sources.list"
	apt-config dump | grep '^Acquire::.* "..*";' | grep -v '^Acquire::IndexTargets\|^Acquire::CompressionTypes' \
		>"$1/etc/apt/apt.conf.d/00machine" || true
	for _file in /etc/resolv.conf /etc/hosts; do
		[ ! -e $_file ] || cat $_file >"$1$_file"
	done
	# npm looks for the machine's own authorities where the machine says; tools/in-root passes it on.
	_authorities=${NODE_EXTRA_CA_CERTS:-$(npm config get cafile 2>/dev/null || true)}
	[ ! -f "$_authorities" ] || cp -L "$_authorities" "$1/etc/machine-authorities.crt"
	# An archive behind TLS is judged by the machine's authorities, before there are any in the new root.
	if [ "${_main#https:}" != "$_main" ]; then
		mkdir -p "$1/etc/ssl/certs"
		cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
	fi
}

# keep_packages DIR: what was downloaded in that root is there in the next one.
keep_packages() {
	find "$1/var/cache/apt/archives" -maxdepth 1 -name '*.deb' -exec cp -lnt "$roots/archives" {} +
}
