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
RPD_RUNTIME_DIR=$directory/run "$rpd" "$plugin" -l tcp:127.0.0.1:0 -o limit=1000 \
    --notify-fd 3 2>"$directory/log" 3>"$directory/up" &
pid=$!
read -r -t 20 _ <"$directory/up" || fail "it is not up"
port=$(sed -n 's/.*bound tcp:127\.0\.0\.1:\([0-9]*\).*/\1/p' "$directory/log")

exec 4<>"/dev/tcp/127.0.0.1/$port"

# expect QUESTION ANSWER
expect() {
    local answer=
    printf '%s\n' "$1" >&4
    read -r -t 20 answer <&4 || fail "no answer to \"$1\""
    [[ $answer == "$2" ]] || fail "\"$1\" was answered by \"$answer\" instead of \"$2\""
}

expect 97 "97 is prime"
expect 91 "91 is not prime"
expect 1001 "1001 is above the limit"
expect "one" "?"
exec 4>&-

kill -TERM "$pid"
wait "$pid" || fail "it ended with $?"
pid=
echo "test.sh: passed"
