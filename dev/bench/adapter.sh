#!/bin/sh
# adapter.sh FUNCTION ADAPTER ARGUMENT... calls one function of one adapter; see adapters/README.
set -eu
BENCH=$(cd "$(dirname "$0")" && pwd)
: "${BIN:=$BENCH/../../build/bench}" "${INIT:=$BENCH/../../build/init}"
export BENCH BIN INIT
function=$1
# shellcheck source=/dev/null
. "$BENCH/adapters/$2.sh"
shift 2
"$function" "$@"
