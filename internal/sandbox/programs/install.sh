#!/bin/sh
# Installs the programs that the demo and the tests need, where they are missing.
#
#   install.sh PROGRAM...           redis-server, postgres (the server), pgbouncer, cc (a C compiler with its headers),
#                                   chromium, prometheus, qpdf (with pdftotext and pdftoppm), saxon (with a JDK, for the
#                                   official validator of invoices); and for the examples: requests (Python's library,
#                                   with Python), node, java (with its compiler), curl, psql
#   install.sh --print PROGRAM...   only prints the command that installs them, missing or not
#
# It installs silently as root without a terminal, or in CI (CI=true); it asks at a terminal; otherwise it prints the
# command and fails. Installing starts no service, enables none, and creates no database cluster.
set -eu

has_redis_server() {
	command -v redis-server >/dev/null 2>&1
}

has_pgbouncer() {
	command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ]
}

has_chromium() {
	command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1
}

has_prometheus() {
	command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1
}

has_requests() {
	for python in python3 /usr/bin/python3; do
		! "$python" -c 'import requests' >/dev/null 2>&1 || return 0
	done
	return 1
}

# Java's runtime alone can't run a source file.
has_java() {
	java --list-modules 2>/dev/null | grep -q '^jdk.compiler'
}

has_qpdf() {
	command -v qpdf >/dev/null 2>&1 && command -v pdftotext >/dev/null 2>&1 && command -v pdftoppm >/dev/null 2>&1
}

# A JDK with its compiler, and Saxon-HE as Debian has it.
has_saxon() {
	command -v javac >/dev/null 2>&1 && [ -n "$(find /usr/share/java /usr/share/maven-repo/net/sf/saxon -name 'Saxon-HE*.jar' 2>/dev/null)" ]
}

# The same folders as in programs.go. The server lies beside initdb.
has_postgres() {
	for initdb in "$(command -v initdb)" \
		/usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/libexec/postgresql*/initdb \
		/opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb; do
		[ ! -x "$initdb" ] || return 0
	done
	return 1
}

# A compiler without the C library's headers is of no use to the race detector, so something is compiled.
has_cc() {
	compiler=${CC:-$(go env CC 2>/dev/null || :)}
	# shellcheck disable=SC2086 # CC may hold options
	printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' |
		${compiler:-gcc} -x c - -o /dev/null >/dev/null 2>&1
}

has() {
	case $1 in
	redis-server) has_redis_server ;;
	postgres) has_postgres ;;
	pgbouncer) has_pgbouncer ;;
	cc) has_cc ;;
	chromium) has_chromium ;;
	prometheus) has_prometheus ;;
	requests) has_requests ;;
	java) has_java ;;
	node | curl | psql) command -v "$1" >/dev/null 2>&1 ;;
	qpdf) has_qpdf ;;
	saxon) has_saxon ;;
	*)
		echo "install.sh: unknown program $1" >&2
		exit 2
		;;
	esac
}

package_manager() {
	for candidate in apt-get dnf apk brew; do
		if command -v "$candidate" >/dev/null 2>&1; then
			echo "$candidate"
			return
		fi
	done
}

# packages MANAGER PROGRAM...
packages() {
	of=$1
	shift
	for program in "$@"; do
		case $of:$program in
		apt-get:redis-server) echo redis-server ;;
		*:redis-server) echo redis ;;
		dnf:postgres) echo postgresql-server ;;
		brew:postgres) echo postgresql@17 ;;
		*:postgres) echo postgresql ;;
		*:pgbouncer) echo pgbouncer ;;
		*:chromium) echo chromium ;;
		dnf:prometheus) echo golang-github-prometheus ;;
		*:prometheus) echo prometheus ;;
		apk:requests) echo py3-requests ;;
		brew:requests) echo python ;;
		*:requests) echo python3-requests ;;
		brew:node) echo node ;;
		*:node) echo nodejs ;;
		apt-get:java) echo default-jdk-headless ;;
		dnf:java) echo java-latest-openjdk-devel ;;
		apk:java) echo openjdk21-jdk ;;
		*:java) echo openjdk ;;
		*:curl) echo curl ;;
		brew:psql) echo libpq ;;
		dnf:psql) echo postgresql ;;
		*:psql) echo postgresql-client ;;
		brew:qpdf) echo qpdf poppler ;;
		*:qpdf) echo qpdf poppler-utils ;;
		apt-get:saxon) echo default-jdk-headless libsaxonhe-java ;;
		apt-get:cc) echo gcc libc6-dev ;;
		apk:cc) echo gcc musl-dev ;;
		*:cc) echo gcc ;;
		esac
	done | tr '\n' ' ' | sed 's/ $//'
}

# command_line MANAGER PACKAGE...: what a person would type.
command_line() {
	with=$1
	shift
	sudo=
	[ "$with" = brew ] || [ "$(id -u)" = 0 ] || sudo='sudo '
	case $with in
	apt-get) echo "${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends $*" ;;
	dnf) echo "${sudo}dnf install $*" ;;
	apk) echo "${sudo}apk add $*" ;;
	brew) echo "brew install $*" ;;
	esac
}

# Debian's packages start and enable services and create a cluster unless they are told otherwise. What tells them is
# put in place for the time of the installation only; what stood there before comes back.
policy=${INSTALL_ROOT:-}/usr/sbin/policy-rc.d
cluster=${INSTALL_ROOT:-}/etc/postgresql-common/createcluster.d/zz-invoicer.conf

hold_services_back() {
	if [ -e "$policy" ] && ! grep -q 'for invoicer' "$policy"; then
		mv "$policy" "$policy.before-invoicer"
	fi
	printf '#!/bin/sh\n# No service is started: put here for invoicer, for the time of an installation.\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	mkdir -p "${cluster%/*}"
	echo 'create_main_cluster = false' >"$cluster"
}

let_services_go() {
	rm -f "$policy" "$cluster"
	rmdir "${cluster%/*}" "${cluster%/*/*}" 2>/dev/null || : # when nothing else has come to be in there
	[ ! -e "$policy.before-invoicer" ] || mv "$policy.before-invoicer" "$policy"
}

install_with_apt() {
	trap let_services_go EXIT
	trap 'exit 130' INT
	trap 'exit 143' HUP TERM
	hold_services_back
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	apt-get -qq update || echo "install.sh: apt-get update failed; trying with the lists at hand" >&2
	apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@" >&2
	for service in redis-server pgbouncer prometheus; do
		case " $* " in
		*" $service "*)
			# Neither now nor at the next boot.
			deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || :
			update-rc.d "$service" disable >/dev/null 2>&1 || :
			;;
		esac
	done
}

# install MANAGER PACKAGE...: as root, except for brew.
install() {
	by=$1
	shift
	case $by in
	apt-get) install_with_apt "$@" ;;
	dnf) dnf -q -y install --setopt=install_weak_deps=False "$@" >&2 ;;
	apk) apk add --no-cache "$@" >&2 ;;
	brew) brew install "$@" >&2 ;;
	esac
}

case ${1:-} in
--print)
	shift
	manager=$(package_manager)
	# shellcheck disable=SC2046 # a list of words
	[ -z "$manager" ] || command_line "$manager" $(packages "$manager" "$@")
	exit
	;;
--install) # MANAGER PACKAGE...: the part that needs root, started again through sudo
	shift
	install "$@"
	exit
	;;
esac

missing=
for program in "$@"; do
	has "$program" || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

manager=$(package_manager)
if [ -z "$manager" ]; then
	echo "Missing:$missing. Install Redis, the PostgreSQL server and client, PgBouncer, a C compiler, Chromium, Prometheus, qpdf, Poppler, Python's requests, Node.js, a JDK and curl with your system's package manager." >&2
	exit 1
fi
# shellcheck disable=SC2086 # a list of words
needed=$(packages "$manager" $missing)
# shellcheck disable=SC2086
typed=$(command_line "$manager" $needed)

root=
if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then root=sudo; fi
if [ "${CI:-}" = true ]; then
	[ -z "$root" ] || root='sudo -n'
elif [ -t 0 ] && [ -t 2 ]; then
	printf 'Missing:%s. Install %s with %s? No service is started. [y/N] ' "$missing" "$needed" "$manager" >&2
	read -r answer || answer=
	case $answer in
	[yY] | [yY][eE][sS]) ;;
	*)
		printf 'Not installed. To do it yourself, type:\n  %s\n' "$typed" >&2
		exit 1
		;;
	esac
elif [ -n "$root" ] || [ "$manager" = brew ]; then
	printf 'Missing:%s. To install, type:\n  %s\n' "$missing" "$typed" >&2
	exit 1
fi

echo "Installing $needed with $manager (no service is started)" >&2
# shellcheck disable=SC2086 # lists of words
if ! $root sh "$0" --install "$manager" $needed; then
	printf 'The installation failed. To try it yourself, type:\n  %s\n' "$typed" >&2
	exit 1
fi
for program in $missing; do
	has "$program" || {
		echo "$program is still not found after installing $needed" >&2
		exit 1
	}
done
