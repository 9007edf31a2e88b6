# For tests/packages and tests/systemd: the packages, and a new Debian to try them on. Sourced by a
# script that has set top (the tree) and build (a build tree of its own).

# shellcheck disable=SC2154 # top and build
root= # the new system; removed at the end

skip() {
    echo "skipped: $1"
    exit 0
}

# Mounts are in a namespace of their own, so there is none to remove.
clean_up() { [[ -z $root ]] || rm -rf --one-file-system -- "$root"; }

# What it takes: skip_unless_possible PROGRAM...
skip_unless_possible() {
    local program
    ((EUID == 0)) || skip "not root"
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
    suite=$(
        # shellcheck source=/dev/null
        source /etc/os-release
        echo "${ID-} ${VERSION_CODENAME-}"
    )
    [[ $suite == debian\ * ]] || skip "this is no Debian"
    suite=${suite#debian }
    mirror=$(mirror_of_host)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    unshare -mpf true 2>/dev/null || skip "no namespaces"
}

# Where this machine has its packages from.
mirror_of_host() {
    {
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources || true
        sed -n 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list ||
            true
    } 2>/dev/null | grep -m 1 '^https\{0,1\}://.*/debian/\{0,1\}$' || echo http://deb.debian.org/debian
}

build_packages() {
    cmake -S "$top" -B "$build" -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF \
        -DRPD_PACKAGE_CONTACT="The tests of rpd <rpd@packages.debian.org>"
    cmake --build "$build" --parallel "$(nproc)"
    rm -f -- "$build"/packages/*.deb "$build"/packages/*.ddeb
    cmake --build "$build" --target package
}

# fail_build WHAT LOG: what could not be made is a failure, not a reason to skip.
fail_build() {
    tail -n 30 "$2"
    echo "$1: failed"
    echo "0 passed, 1 failed"
    exit 1
}

# make_root NAME OPTION...: a new system with debootstrap's options, in $root.
make_root() {
    local name=$1
    shift
    root=$(mktemp -d "/var/tmp/rpd-$name.XXXXXX")
    chmod 755 "$root"
    timeout 60 /usr/lib/apt/apt-helper download-file "$mirror/dists/$suite/InRelease" "$root/release" \
        >/dev/null 2>&1 || skip "the packages of $suite cannot be had: no network?"
    rm -f -- "$root/release"
    mkdir -p -- "$build"
    build_packages >"$build.log" 2>&1 || fail_build "$name: build" "$build.log"
    timeout -k 10 600 debootstrap --variant=minbase "$@" "$suite" "$root" "$mirror" >"$build.log" 2>&1 ||
        fail_build "$name: debootstrap" "$build.log"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    cp "$build"/packages/*.deb "$root/root/"
}
