#!/bin/bash
# Starts rpd with the plugin, asks, compares, stops.
#
#     ./test.sh rpd build/skeleton.so
set -euo pipefail

rpd=$1
plugin=$2
directory=$(mktemp -d "${TMPDIR:-/tmp}/skeleton.XXXXXX")
pid=

clean_up() {
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
    rm -rf -- "$directory"
}
trap clean_up EXIT

fail() {
    echo "test.sh: $1; rpd said:" >&2
    cat "$directory/log" >&2
    exit 1
}

# rpd writes a line to its --notify-fd once clients can connect.
mkfifo "$directory/up"
RPD_RUNTIME_DIR=$directory/run "$rpd" "$plugin" -l tcp:127.0.0.1:0 -o @argument@ \
    --notify-fd 3 2>"$directory/log" 3>"$directory/up" &
pid=$!
read -r -t 20 _ <"$directory/up" || fail "it is not up"
port=$(sed -n 's/.*bound tcp:127\.0\.0\.1:\([0-9]*\).*/\1/p' "$directory/log")

exec 4<>"/dev/tcp/127.0.0.1/$port"

@asks@exec 4>&-

kill -TERM "$pid"
wait "$pid" || fail "it ended with $?"
pid=
echo "test.sh: passed"
