# shellcheck shell=sh
a_version() { dpkg-query -W -f '${Version}' runit; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 1000; }
a_write() {
	while read -r name command; do
		mkdir "$1/$name"
		printf '#!/bin/sh\nexec %s\n' "$command" >"$1/$name/run"
		if [ -n "${LOG-}" ]; then
			mkdir "$1/$name/log" "$LOG/$name"
			printf 's50000000\nn10\n' >"$LOG/$name/config"
			printf '#!/bin/sh\nexec svlogd %s/%s\n' "$LOG" "$name" >"$1/$name/log/run"
			chmod +x "$1/$name/log/run"
		fi
	done <"$2"
	chmod +x "$1"/*/run
	touch -d '1 hour ago' "$1" # it waits a second for a directory that has just been changed
}
a_command() { echo "/usr/bin/runsvdir -P $1"; }
a_signal() { echo HUP; }
