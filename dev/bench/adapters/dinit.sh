# shellcheck shell=sh
# Debian 12 has no dinit: $DINIT is one that was built elsewhere.
a_version() { "$DINIT" --version | sed -n 's/^Dinit version \([^ ]*[0-9a-z]\)\.*$/\1/p'; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
a_write() {
	while read -r name command; do
		{
			printf 'type = process\ncommand = %s\n' "$command"
			[ -z "${FAST-}" ] || printf 'restart-delay = 0\nrestart-limit-count = 0\n'
			# The file is the service's own output: there is no rotation.
			[ -z "${LOG-}" ] || printf 'logfile = %s/%s.log\n' "$LOG" "$name"
		} >"$1/$name"
		echo "waits-for: $name"
	done <"$2" >"$1/boot.part"
	{
		echo 'type = internal'
		cat "$1/boot.part"
	} >"$1/boot"
	rm "$1/boot.part"
}
a_command() { echo "$DINIT --container --services-dir $1 --socket-path $1/.socket"; }
a_signal() { echo TERM; }
