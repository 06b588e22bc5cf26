# What the scripts here share: marking the log, loading and unloading with a wait, comparing the log line by line.
# To be sourced by bash. TARGET_PORT: where the patched program answers.

LIVEPATCH=/sys/kernel/livepatch
PATIENCE=300                            # tries, a tenth of a second apart

note() { echo "$1" > /dev/kmsg; }

fail() {
    note "FAILED: $1"
    echo "not ok - ${TEST:-before any test}: $1"
    exit 1
}

# wait_for CONDITION WHAT: until the shell condition holds
wait_for() {
    local tries
    for ((tries = 0; tries < PATIENCE; tries++)); do
        eval "$1" && return
        sleep .1
    done
    fail "$2"
}

is_livepatch() { [[ $(modinfo "$1" | awk '/^livepatch:/ { print $NF }') == Y ]]; }

# the command goes to the log, so that its lines stand between the kernel's
insert() {
    local said
    note "% modprobe $*"
    said=$(modprobe "$@" 2>&1) && [[ -z $said ]] || fail "modprobe $*: $said"
    wait_for "[[ -e /sys/module/$1 ]]" "no /sys/module/$1"
}

load_module() {
    is_livepatch "$1" && fail "$1 is a livepatch"
    insert "$@"
}

load_patch_only() {
    is_livepatch "$1" || fail "$1 is no livepatch"
    insert "$@"
    wait_for "[[ -e $LIVEPATCH/$1 ]]" "no $LIVEPATCH/$1"
}

load_patch() {
    load_patch_only "$@"
    wait_for "grep -q '^0$' $LIVEPATCH/$1/transition" "$1 stays in transition"
}

load_fails() {
    local said
    note "% modprobe $*"
    said=$(modprobe "$@" 2>&1) && fail "$1 was loaded"
    note "$said"
}

disable() {
    note "% echo 0 > $LIVEPATCH/$1/enabled"
    echo 0 > "$LIVEPATCH/$1/enabled" || fail "$1 can't be disabled"
    wait_for "[[ ! -e $LIVEPATCH/$1 ]]" "$1 stays"
}

remove() {
    local name said
    for name; do
        wait_for "[[ \$(cat /sys/module/$name/refcnt) == 0 ]]" "$name stays in use"
        note "% rmmod $name"
        said=$(rmmod "$name" 2>&1) && [[ -z $said ]] || fail "rmmod $name: $said"
        wait_for "[[ ! -e /sys/module/$name ]]" "/sys/module/$name stays"
    done
}

# what the program answers, or one of its functions (1 to 5)
answer() {
    local line
    exec {target}<> "/dev/tcp/127.0.0.1/$TARGET_PORT"
    read -r line <&"$target"
    exec {target}>&-
    [[ $# == 0 ]] && echo "$line" || cut -d '|' -f "$1" <<< "$line"
}

same() { [[ "$1" == "$2" ]] || fail "$3: '$1' instead of '$2'"; }
answers() { same "$(answer)" "$1" "the program answers"; }

# begin NAME: what is in the log from here on is this test's
begin() {
    TEST=$1
    dmesg -C
    note "== $1 =="
}

# expect: the log since begin (but for addresses) is what stands on the standard input, line by line
expect() {
    local wanted got
    wanted=$(cat)
    got=$(dmesg --notime | grep -e '^livepatch: ' -e '^% ' -e '^modprobe: ' -e '^lp_' -e '^target_mod: ' -e '^mod_' -e '^other_mod: ' |
        sed 's/<[0-9a-f]*, /<object, /')
    if [[ "$wanted" != "$got" ]]; then
        diff -u --label expected --label log <(echo "$wanted") <(echo "$got")
        fail "the log differs"
    fi
    passed
}

passed() { echo "ok - $TEST"; }

# the lines of a whole transition
patching() {
    echo "livepatch: enabling patch '$1'"
    echo "livepatch: '$1': initializing patching transition"
    rest_of "$1" patching
}

unpatching() {
    echo "livepatch: '$1': initializing unpatching transition"
    rest_of "$1" unpatching
}

rest_of() {
    echo "livepatch: '$1': starting $2 transition"
    echo "livepatch: '$1': completing $2 transition"
    echo "livepatch: '$1': $2 complete"
}
