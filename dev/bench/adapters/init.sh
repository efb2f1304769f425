# shellcheck shell=sh
a_version() { "$INIT" version; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
write_config() { # DIR LIST
	{
		printf '{"version":1,"services":{'
		between=
		while read -r name command; do
			printf '%s"%s":{"ExecStart":[' "$between" "$name"
			between=
			for word in $command; do
				printf '%s"%s"' "$between" "$word"
				between=,
			done
			printf ']%s}' "${FAST:+,\"RestartSec\":\"0\"}"
		done <"$2"
		printf '}}\n'
	} >"$1/config.json"
}
a_write() { write_config "$@"; }
# What the services print goes to its own output, prefixed with time and name.
a_command() { echo "$INIT --supervise $1/config.json --run $1"; }
a_signal() { echo TERM; }
