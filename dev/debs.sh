#!/bin/sh
# Fetches what dev/debs.nix makes packages of: the .deb files that a list names
# (dev/packages, if none is given) and the shared libraries that those need, in
# whatever version this machine's apt offers, with an index of them for Nix.
#
# Usage: dev/debs.sh [--check] FOLDER [LIST]
#
# With --check it only says, by its exit status, whether all of it is there.
#
# shellcheck disable=SC2086 # lists of words are meant to be split
set -eu

default=$(dirname "$0")/packages
fetched() { [ -n "$(find "$1/index.json" -newer "$list" 2>/dev/null)" ]; }
if [ "$1" = --check ]; then
	list=$(realpath "${3:-$default}")
	fetched "$2"
	exit
fi
list=$(realpath "${2:-$default}")
if fetched "$1"; then
	exit 0
fi
mkdir -p "$1"
cd "$1"
echo "debs: fetching the packages of the image" >&2

wanted() { sed 's/#.*//' "$list"; }

# records prints one line a package: name, version, section, file, and the first
# alternative of each of its dependencies.
records() {
	apt-cache show --no-all-versions "$@" 2>/dev/null | awk '
		function flush(   n, i, list, word, file) {
			if (name == "") return
			file = name "_" version "_" arch ".deb"
			gsub(/:/, "%3a", file)
			printf "%s %s %s %s", name, version, section, file
			n = split(depends, list, / *, */)
			for (i = 1; i <= n; i++)
				if (split(list[i], word, /[ |(:]+/)) printf " %s", word[1]
			print ""
			name = depends = ""
		}
		/^Package: / { name = $2 }
		/^Version: / { version = $2 }
		/^Section: / { section = $2 }
		/^Architecture: / { arch = $2 }
		/^(Pre-)?Depends: / { sub(/^[^ ]*/, ","); depends = depends $0 }
		/^$/ { flush() }
		END  { flush() }'
}

# Dependencies are followed into section libs only: the others (debconf,
# adduser, …) are there to install a package, not to run it. busybox-static is
# the builder of the first packages.
roots="busybox-static $(wanted | awk '{ for (i = 2; i <= NF; i++) print $i }' | sort -u)"
records $roots >found
cp found records
next=$(cut -d' ' -f5- found | tr ' ' '\n' | sort -u)
while [ -n "$next" ]; do
	records $next | awk '$3 ~ /(^|\/)libs$/' >found
	cat found >>records
	next=$(cut -d' ' -f5- found | tr ' ' '\n' | sort -u |
		awk 'NR == FNR { seen[$1]; next } !($1 in seen)' records -)
done
sort -u -k1,1 -o records records
for name in $roots; do
	grep -q "^$name " records || { echo "debs.sh: apt knows no package $name" >&2; exit 1; }
done

for deb in *.deb; do
	grep -qF " $deb" records || rm -f "$deb"
done
missing=$(while read -r name _ _ deb _; do [ -e "$deb" ] || echo "$name"; done <records)
if [ -n "$missing" ]; then
	apt-get download -qq -o APT::Sandbox::User=root $missing
fi
mkdir -p busybox
dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -xO --wildcards '*/bin/busybox' >busybox/program
chmod 755 busybox/program
mkdir -p busybox/bin
mv busybox/program busybox/bin/busybox

{
	wanted | sed 's/^/package /'
	sed 's/^/record /' records
} | awk '
	function join(list, item) { return list (list == "" ? "" : ", ") item }
	$1 == "package" && NF > 1 {
		members = ""
		for (i = 3; i <= NF; i++) members = join(members, "\"" $i "\"")
		packages = packages (packages == "" ? "" : ",\n") "\"" $2 "\": [" members "]"
	}
	$1 == "record" {
		name[++n] = $2; version[n] = $3; library[$2] = $4 ~ /(^|\/)libs$/; file[n] = $5
		$1 = $2 = $3 = $4 = $5 = ""; depends[n] = $0
	}
	END {
		for (i = 1; i <= n; i++) {
			libs = ""
			count = split(depends[i], dep, " ")
			for (j = 1; j <= count; j++)
				if (library[dep[j]]) libs = join(libs, "\"" dep[j] "\"")
			debs = debs sprintf("%s\"%s\": {\"version\": \"%s\", \"file\": \"%s\", \"libs\": [%s]}",
				i > 1 ? ",\n" : "", name[i], version[i], file[i], libs)
		}
		printf "{\"packages\": {\n%s\n},\n\"debs\": {\n%s\n}}\n", packages, debs
	}' >index.json.new
rm records found
mv index.json.new index.json
