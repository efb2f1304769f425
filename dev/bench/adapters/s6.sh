# shellcheck shell=sh
a_version() { dpkg-query -W -f '${Version}' s6; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
a_write() {
	while read -r name command; do
		mkdir "$1/$name"
		printf '#!/usr/bin/execlineb -P\n%s\n' "$command" >"$1/$name/run"
		if [ -n "${LOG-}" ]; then
			mkdir "$1/$name/log"
			printf '#!/usr/bin/execlineb -P\ns6-log n10 s50000000 %s/%s\n' "$LOG" "$name" >"$1/$name/log/run"
			chmod +x "$1/$name/log/run"
		fi
	done <"$2"
	chmod +x "$1"/*/run
}
a_command() { echo "/usr/bin/s6-svscan -c 3000 $1"; }
a_signal() { echo TERM; }
