#!/bin/bash
# Atomic replace: one patch takes the place of all. (cumulative-patches.txt)
. "$(dirname "$0")/functions.sh"

begin "a replacing patch, and what it replaced is gone"
load_patch lp_one
load_patch lp_two
load_patch lp_replace
answers 'hello by lp_replace|good bye|-|first|second'
same "$(ls $LIVEPATCH)" lp_replace "patches"
same "$(find $LIVEPATCH/lp_replace -mindepth 2 -type d)" "$LIVEPATCH/lp_replace/vmlinux/greeting,1" "functions (no nop is left)"
[[ ! -e $LIVEPATCH/lp_replace/replace || $(cat $LIVEPATCH/lp_replace/replace) == 1 ]] || fail "replace reads 0"
same "$(cat /sys/module/lp_one/refcnt /sys/module/lp_two/refcnt | tr '\n' ' ')" "0 0 " "refcnt of the replaced"
remove lp_one lp_two
disable lp_replace
answers 'hello|good bye|-|first|second'
remove lp_replace
expect << END
% modprobe lp_one
$(patching lp_one)
% modprobe lp_two
$(patching lp_two)
% modprobe lp_replace
$(patching lp_replace)
% rmmod lp_one
% rmmod lp_two
% echo 0 > $LIVEPATCH/lp_replace/enabled
$(unpatching lp_replace)
% rmmod lp_replace
END

begin "only the new patch's callbacks run"
load_patch lp_calls
load_patch lp_calls_two
same "$(ls $LIVEPATCH)" lp_calls_two "patches"
remove lp_calls
disable lp_calls_two
remove lp_calls_two
expect << END
% modprobe lp_calls
livepatch: enabling patch 'lp_calls'
livepatch: 'lp_calls': initializing patching transition
lp_calls: pre_patch vmlinux
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
livepatch: 'lp_calls': patching complete
% modprobe lp_calls_two
livepatch: enabling patch 'lp_calls_two'
livepatch: 'lp_calls_two': initializing patching transition
lp_calls_two: pre_patch vmlinux
livepatch: 'lp_calls_two': starting patching transition
livepatch: 'lp_calls_two': completing patching transition
lp_calls_two: post_patch vmlinux
livepatch: 'lp_calls_two': patching complete
% rmmod lp_calls
lp_calls: exit
% echo 0 > $LIVEPATCH/lp_calls_two/enabled
livepatch: 'lp_calls_two': initializing unpatching transition
lp_calls_two: pre_unpatch vmlinux
livepatch: 'lp_calls_two': starting unpatching transition
livepatch: 'lp_calls_two': completing unpatching transition
lp_calls_two: post_unpatch vmlinux
livepatch: 'lp_calls_two': unpatching complete
% rmmod lp_calls_two
lp_calls_two: exit
END
