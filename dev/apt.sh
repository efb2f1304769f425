#!/bin/sh
# For other scripts to read: what Debian has and this machine's apt does not see.
# They say what they do by a function say.

die() { say "$*"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# mirror prints the address from which the machine's own apt takes Debian.
mirror() {
	# shellcheck disable=SC2016 # apt-get expands them
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk '$2 !~ /[-\/]/ && $3 == "main" { print $1; exit }'
}

# apt_private FOLDER 'SUITE COMPONENT…'… writes FOLDER/apt.conf, under which apt
# sees those parts of that mirror alone, and touches no state of the machine.
apt_private() {
	private=$1
	shift
	mirror=$(mirror)
	if [ -z "$mirror" ]; then # apt knows its sources only once it has their lists
		as_root apt-get -o DPkg::Lock::Timeout=300 -qq update >&2
		mirror=$(mirror)
	fi
	[ -n "$mirror" ] || die "apt has no source of Debian packages to take the mirror from"
	mkdir -p "$private/lists/partial" "$private/archives/partial"
	for parts in "$@"; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $parts"
	done >"$private/sources.list"
	cat >"$private/apt.conf" <<-EOF
		Dir::Etc::SourceList "$private/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State "$private/state";
		Dir::State::Lists "$private/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$private";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	EOF
}
