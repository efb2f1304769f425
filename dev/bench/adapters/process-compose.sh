# shellcheck shell=sh
a_version() { cat "$BIN/process-compose.version"; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
a_write() {
	{
		printf 'version: "0.5"\n'
		[ -z "${LOG-}" ] || printf 'log_configuration:\n  rotation:\n    max_size_mb: 50\n    max_backups: 10\n'
		echo processes:
		while read -r name command; do
			printf '  %s:\n    command: exec %s\n    availability:\n      restart: always\n' "$name" "$command"
			[ -z "${LOG-}" ] || printf '    log_location: %s/%s.log\n' "$LOG" "$name"
		done <"$2"
	} >"$1/process-compose.yaml"
}
a_command() { echo "HOME=$1 $BIN/process-compose -t=false --no-server -L $1/own.log -f $1/process-compose.yaml up"; }
a_signal() { echo TERM; }
