#!/bin/bash
# The module commands: kmod's words and exit codes, on the service.
. "$(dirname "$0")/functions.sh"

# says CODE TEXT COMMAND...: what a command prints, and its exit code
says() {
    local code=$1 text=$2 said
    shift 2
    said=$("$@" 2>&1)
    same "$? $said" "$code $text" "$*"
}

BASE=$(modinfo -n mod_base) USER=$(modinfo -n mod_user)

begin "what is not there"
says 1 "rmmod: ERROR: Module nope is not currently loaded" rmmod nope
says 1 "rmmod: ERROR: Module no_pe is not currently loaded" rmmod no-pe
says 1 "rmmod: ERROR: missing module name." rmmod
says 1 "insmod: ERROR: missing filename." insmod
says 1 "insmod: ERROR: could not load module nope.ko: No such file or directory" insmod nope.ko
says 1 "modinfo: ERROR: Module nope not found." modinfo nope
says 1 "modprobe: FATAL: Module nope not found." modprobe -r nope
modprobe nope 2>&1 | grep -q '^modprobe: FATAL: Module nope not found in directory /' || fail "$(modprobe nope 2>&1)"
says 1 "" modprobe -q nope
says 1 "modprobe: invalid option -- 'x'" modprobe -x
says 1 "insmod: unrecognized option '--nope'" insmod --nope
says 1 "Usage: lsmod" lsmod nope
passed

begin "a module with a parameter, and one that it needs"
says 0 "" modprobe -n mod_user
says 0 "insmod $BASE 
insmod $USER text=a" modprobe -n -v mod_user text=a
says 0 "insmod $BASE 
insmod $USER " modprobe --show-depends mod-user
says 0 "" modprobe mod-user "text=two words" level=-4
says 0 "" modprobe mod_user
says 1 "modprobe: ERROR: could not insert 'mod_user': Module already in kernel" modprobe --first-time mod_user
says 0 "two words" cat /sys/module/mod_user/parameters/text
says 0 "-4" cat /sys/module/mod_user/parameters/level
says 0 "mod_user" ls /sys/module/mod_base/holders
says 0 "1" cat /sys/module/mod_base/refcnt
says 1 "rmmod: ERROR: Module mod_base is in use by: mod_user" rmmod mod_base
says 1 "modprobe: FATAL: Module mod_base is in use." modprobe -r mod_base
lsmod | grep -Eq '^mod_base +[0-9]+  1 mod_user$' || fail "$(lsmod)"
says 0 "Module Size Used by" awk 'NR == 1 { print $1, $2, $3, $4 }' <(lsmod)
says 1 "insmod: ERROR: could not insert module $BASE: File exists" insmod "$BASE"
says 0 "rmmod mod_user
rmmod mod_base" modprobe -r -v mod-user
says 1 "" grep mod_ /proc/modules
expect << 'END'
mod_user: base, two words, -4
END

begin "errors of a module's own"
says 1 "modprobe: ERROR: could not insert 'mod_fails': No such device" modprobe mod_fails
says 1 "insmod: ERROR: could not insert module $(modinfo -n mod_fails): Operation not permitted" insmod "$(modinfo -n mod_fails)" ret=-1
says 1 "modprobe: ERROR: could not insert 'mod_user': Unknown symbol in module, or unknown parameter (see dmesg)" modprobe mod_user nope=1
modprobe -r mod_base
passed

begin "what modinfo says"
says 0 "GPL" modinfo -F license target_mod
says 0 "GPL" modinfo -l target_mod
says 0 "A. Tester" modinfo -a target_mod
says 0 "1.2" modinfo --field=version target_mod
says 0 "$USER" modinfo -n mod_user
says 0 "mod_base" modinfo -F depends mod_user
says 0 "Y" modinfo -F livepatch lp_one
says 0 "" modinfo -F livepatch target_mod
says 0 "busy:bool
release:bool" modinfo -p target_mod
modinfo target_mod | grep -q '^license:        GPL$' || fail "$(modinfo target_mod)"
modinfo "${BASE%/*}/target_mod.ko" > /dev/null || fail "modinfo by its path"
passed

begin "a path, and a name that ends in .ko"
cd "${BASE%/*}" || fail "cd"
says 0 "" insmod ./mod_base.ko
says 0 "" rmmod ./mod_base.ko
says 0 "" insmod mod_base.py
says 0 "" rmmod mod_base
cd / || exit
passed

begin "the log"
dmesg -C
says 0 "" dmesg
note "one line"
echo '<3>an error' > /dev/kmsg
says 0 "one line
an error" dmesg -t
says 0 "an error" dmesg -t -l err
says 0 "one line
an error" dmesg -t -u
says 0 "" dmesg -k
dmesg | grep -Eq '^\[ *[0-9]+\.[0-9]{6}\] one line$' || fail "$(dmesg)"
dmesg -x | grep -q '^user  :err   : ' || fail "$(dmesg -x)"
says 0 "one line
an error" dmesg -c -t
says 0 "" dmesg -t
followed=$(mktemp)
(timeout 30 dmesg -t -w | head -n 1 > "$followed") &
sleep .3
note "followed"
wait
says 0 "followed" cat "$followed"
rm -f "$followed"
passed
