# shellcheck shell=sh
a_version() { echo 'a loop in C'; }
a_tests() { echo boot mem reap restart stop; }
a_most() { echo 0; }
a_write() { :; }
a_command() { echo "$BIN/floor $2"; }
a_signal() { echo TERM; }
