# The builder of debs.nix: unpacks $debs into $out, laid out as nixpkgs lays out
# its packages, and makes the programs in it run from the store. It is run by
# busybox, the only program there is before the first package.
#
# Set by Nix: debs, triplet, loader (a file name); and for everything but the
# tools themselves: tools, interpreter ("" in glibc), libraries, aliases.
#
# shellcheck shell=dash disable=SC2086,SC2123,SC2154
set -eu

mkdir applets root
"$builder" --install -s "$PWD/applets"
PATH=$PWD/applets

cd root
for deb in $debs; do
	ar p "$deb" data.tar.xz | tar -xJ
done

# Documentation, what an init system would read, and what Debian's programs look
# for in places that a store path is not.
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/lintian usr/share/bug \
	usr/share/bash-completion usr/share/fish usr/share/zsh usr/lib/systemd lib/systemd lib64 \
	"usr/lib/$triplet/gconv" "usr/lib/$triplet/audit" "usr/lib/$triplet/tc"

# merge moves what is in the first folder into the second; the later one wins.
merge() {
	if [ -d "$1" ]; then
		mkdir -p "$2"
		tar -cC "$1" . | tar -xC "$2"
		rm -rf "$1"
	fi
}
mkdir "$out"
merge "lib/$triplet" "$out/lib"
merge "usr/lib/$triplet" "$out/lib"
merge usr/share "$out/share"
merge lib/terminfo "$out/share/terminfo"
merge usr/lib/openssh "$out/libexec"
merge usr/lib "$out/lib"
merge lib "$out/lib"
for d in usr/sbin sbin usr/bin bin; do
	merge $d "$out/bin"
done

# Links to what is not in this package, or was laid out differently.
find "$out" -type l | while read -r link; do
	[ -e "$link" ] || rm "$link"
done

# The bundle that Debian's update-ca-certificates would make.
if [ -d "$out/share/ca-certificates" ]; then
	mkdir -p "$out/etc/ssl/certs"
	cat "$out"/share/ca-certificates/mozilla/*.crt >"$out/etc/ssl/certs/ca-bundle.crt"
fi

if [ -z "${tools-}" ]; then
	exit 0
fi
edit() {
	program=$1
	shift
	"$tools/lib/$loader" --library-path "$tools/lib" "$tools/bin/$program" "$@"
}

for alias in $aliases; do
	ln -s "${alias#*=}" "$out/bin/${alias%=*}"
done

# nixpkgs' glibc knows no folder of the system: it searches its own lib, and its
# cache and the cache's configuration are in its own etc. So does this one, with
# every string as long as it was: /gnu is a link to that etc (image.nix makes it),
# and /nix a folder without libraries.
if [ -z "$interpreter" ]; then
	mkdir -p "$out/etc"
	for old in "/usr/lib/$triplet/" "/lib/$triplet/"; do
		new=/gnu/../lib
		while [ ${#new} -lt ${#old} ]; do
			new=$new/
		done
		swaps="${swaps-} -e s#$old\\x00#$new\\x00#g"
	done
	LC_ALL=C edit sed -i $swaps \
		-e 's#/usr/lib/\x00#/nix/////\x00#g' -e 's#\x00/lib/\x00#\x00/nix/\x00#g' \
		-e 's#/etc/ld[.]so[.]c#/gnu/ld.so.c#g' \
		"$out/lib/$loader" "$out/bin/ldconfig"
fi

# A package may keep libraries of its own in a folder below lib.
own=$(find "$out" -mindepth 3 -maxdepth 3 -path '*/lib/*' -name 'lib*.so' | sed 's,/[^/]*$,,' | sort -u)
search=$out/lib
for d in $own $libraries; do
	search=$search:$d
done
find "$out" -type f -size +1k -exec grep -lE "^$(printf '\177')ELF" {} + >elf || true
while read -r f; do
	case $f in
	*/"$loader" | */libc.so.6 | */ldconfig | *.a | *.o) continue ;; # nothing loads them
	esac
	chmod u+w "$f"
	set -- --set-rpath "$search"
	if edit patchelf --print-interpreter "$f" >/dev/null 2>&1; then
		set -- "$@" --set-interpreter "${interpreter:-$out/lib/$loader}"
	fi
	edit patchelf "$@" "$f"
	edit patchelf --shrink-rpath "$f"
done <elf
