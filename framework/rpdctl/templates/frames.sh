# expect MESSAGE ANSWER
expect() {
    local answer=
    printf '%s' "$1" >&4
    read -r -N ${#2} -t 20 answer <&4 || fail "no answer to \"$1\""
    [[ $answer == "$2" ]] || fail "\"$1\" was answered by \"$answer\" instead of \"$2\""
}

expect "5:hello," "5:olleh,"
expect "0:," "0:,"
expect "2:a:,3:abc," "2::a,3:cba,"
# (Above max_size: the connection ends.)
printf '1001:' >&4
if read -r -N 1 -t 20 _ <&4; then
    fail "a message that is too large was answered"
fi
