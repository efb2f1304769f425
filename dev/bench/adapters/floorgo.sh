# shellcheck shell=sh
a_version() { echo 'a loop in Go'; }
a_tests() { echo boot mem reap stop; }
a_most() { echo 0; }
a_write() { :; }
a_command() { echo "$BIN/floorgo $2"; }
a_signal() { echo TERM; }
