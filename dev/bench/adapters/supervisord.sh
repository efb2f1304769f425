# shellcheck shell=sh
a_version() { dpkg-query -W -f '${Version}' supervisor; }
a_tests() { echo boot mem reap restart stop log; }
a_most() { echo 0; }
a_write() {
	{
		printf '[supervisord]\nnodaemon=true\nminfds=8192\nminprocs=2000\nuser=root\n'
		printf 'logfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/pid\nchildlogdir=%s\n' "$1" "$1"
		printf '[unix_http_server]\nfile=%s/sock\n' "$1"
		printf '[rpcinterface:supervisor]\n'
		printf 'supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n'
		while read -r name command; do
			printf '[program:%s]\ncommand=%s\nautorestart=true\nstderr_logfile=NONE\n' "$name" "$command"
			[ -z "${FAST-}" ] || printf 'startsecs=0\nstartretries=1000000\n'
			if [ -n "${LOG-}" ]; then
				printf 'stdout_logfile=%s/%s.log\nstdout_logfile_maxbytes=50000000\nstdout_logfile_backups=10\n' "$LOG" "$name"
			else
				printf 'stdout_logfile=NONE\n'
			fi
		done <"$2"
	} >"$1/supervisord.conf"
}
a_command() { echo "/usr/bin/supervisord -c $1/supervisord.conf"; }
a_signal() { echo TERM; }
