#!/bin/sh
# The symbols file of a package: which version of it a program needs that uses a function.
#
#     symbols.sh VERSION LIBRARY... >symbols
#
# All functions of ABI 1 are as old as its first version; one that is added later must be given
# the version that first had it here.
set -eu

version=$1
shift
for library in "$@"; do
    soname=$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')
    printf "%s rpd #MINVER#\n* Build-Depends-Package: rpd-dev\n" "$soname"
    nm -D --defined-only --with-symbol-versions "$library" |
        sed -n 's/.* [A-Z] //; s/@@/@/p' | LC_ALL=C sort | sed "s/.*/ & $version/"
    # The versions' own names.
    nm -D --defined-only "$library" | sed -n 's/.* A //p' | sed "s/.*/ &@& $version/"
done
