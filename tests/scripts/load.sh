#!/bin/bash
# Loading and disabling: one patch, several on one function, errors at load. (livepatch.txt)
. "$(dirname "$0")/functions.sh"

PLAIN='hello|good bye|-|first|second'

begin "one patch, loaded, disabled, removed"
answers "$PLAIN"
load_patch lp_one
answers 'hello by lp_one|good bye|-|first|second'
same "$(cat $LIVEPATCH/lp_one/enabled)" 1 enabled
same "$(cat /sys/module/lp_one/refcnt)" 1 refcnt
same "$(rmmod lp_one 2>&1)" "rmmod: ERROR: Module lp_one is in use" rmmod
lsmod | grep -q '^lp_one ' || fail "lsmod does not show it"
disable lp_one
answers "$PLAIN"
grep -q '^lp_one .* 0 - Live 0x0000000000000000 (OE K)$' /proc/modules || fail "/proc/modules: $(cat /proc/modules)"
remove lp_one
lsmod | grep -q lp_one && fail "lsmod still shows it"
expect << END
% modprobe lp_one
$(patching lp_one)
% echo 0 > $LIVEPATCH/lp_one/enabled
$(unpatching lp_one)
% rmmod lp_one
END

begin "the newest of several patches runs, and any can go"
load_patch lp_one
load_patch lp_two
load_patch lp_replace replace=0
answers 'hello by lp_replace|good bye by lp_two|-|first|second'
disable lp_replace
answers 'hello by lp_two|good bye by lp_two|-|first|second'
disable lp_one
answers 'hello by lp_two|good bye by lp_two|-|first|second'
disable lp_two
answers "$PLAIN"
remove lp_one lp_two lp_replace
expect << END
% modprobe lp_one
$(patching lp_one)
% modprobe lp_two
$(patching lp_two)
% modprobe lp_replace replace=0
$(patching lp_replace)
% echo 0 > $LIVEPATCH/lp_replace/enabled
$(unpatching lp_replace)
% echo 0 > $LIVEPATCH/lp_one/enabled
$(unpatching lp_one)
% echo 0 > $LIVEPATCH/lp_two/enabled
$(unpatching lp_two)
% rmmod lp_one
% rmmod lp_two
% rmmod lp_replace
END

begin "a disabled patch must be loaded anew"
load_patch lp_one
disable lp_one
[[ -e $LIVEPATCH/lp_one ]] && fail "its directory is still there"
same "$(insmod "$(modinfo -n lp_one)" 2>&1)" "insmod: ERROR: could not insert module $(modinfo -n lp_one): File exists" insmod
remove lp_one
load_patch lp_one
disable lp_one
remove lp_one
expect << END
% modprobe lp_one
$(patching lp_one)
% echo 0 > $LIVEPATCH/lp_one/enabled
$(unpatching lp_one)
% rmmod lp_one
% modprobe lp_one
$(patching lp_one)
% echo 0 > $LIVEPATCH/lp_one/enabled
$(unpatching lp_one)
% rmmod lp_one
END

begin "a function that there is not"
load_fails lp_missing
answers "$PLAIN"
[[ -e /sys/module/lp_missing || -e $LIVEPATCH/lp_missing ]] && fail "something is left"
expect << END
% modprobe lp_missing
livepatch: symbol 'nobody' not found in symbol table
modprobe: ERROR: could not insert 'lp_missing': Invalid argument
END

begin "positions of functions of one name"
load_fails lp_position position=0
load_fails lp_position position=3
load_patch lp_position
answers 'hello|good bye|-|first|second by lp_position'
ls "$LIVEPATCH/lp_position/vmlinux" | grep -qx 'name_show,2' || fail "no name_show,2"
disable lp_position
remove lp_position
expect << END
% modprobe lp_position position=0
livepatch: unresolvable ambiguity for symbol 'name_show' in object '(null)'
modprobe: ERROR: could not insert 'lp_position': Invalid argument
% modprobe lp_position position=3
livepatch: symbol position 3 for symbol 'name_show' in object 'vmlinux' not found
modprobe: ERROR: could not insert 'lp_position': Invalid argument
% modprobe lp_position
$(patching lp_position)
% echo 0 > $LIVEPATCH/lp_position/enabled
$(unpatching lp_position)
% rmmod lp_position
END

begin "a patch of nothing"
load_patch lp_empty
disable lp_empty
remove lp_empty
expect << END
% modprobe lp_empty
$(patching lp_empty)
% echo 0 > $LIVEPATCH/lp_empty/enabled
$(unpatching lp_empty)
% rmmod lp_empty
END
