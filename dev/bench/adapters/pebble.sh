# shellcheck shell=sh
a_version() { cat "$BIN/pebble.version"; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
a_write() {
	mkdir "$1/layers"
	{
		echo services:
		while read -r name command; do
			printf '  %s:\n    override: replace\n    startup: enabled\n    command: %s\n' "$name" "$command"
			[ -z "${FAST-}" ] || printf '    backoff-delay: 1ms\n    backoff-factor: 1.0\n'
		done <"$2"
	} >"$1/layers/001-bench.yaml"
}
# With --verbose it writes what the services print to its own output.
a_command() { echo "PEBBLE=$1 $BIN/pebble run ${LOG:+--verbose}"; }
a_signal() { echo TERM; }
