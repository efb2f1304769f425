# shellcheck shell=sh
a_version() { echo 'a loop in Go on the main thread'; }
a_tests() { echo boot mem reap stop; }
a_most() { echo 0; }
a_write() { :; }
a_command() { echo "$BIN/gomain $2"; }
a_signal() { echo TERM; }
