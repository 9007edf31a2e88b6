# expect QUESTION ANSWER
expect() {
    local answer=
    printf '%s\n' "$1" >&4
    read -r -t 20 answer <&4 || fail "no answer to \"$1\""
    [[ $answer == "$2" ]] || fail "\"$1\" was answered by \"$answer\" instead of \"$2\""
}

expect 1000 168
expect 1 0
expect 1001 "1001 is above the limit"
expect "one" "?"
