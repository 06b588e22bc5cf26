#!/bin/bash
# A task that sits in a patched function: pending, reversed, let go, forced; who it is. (livepatch.txt: consistency model)
. "$(dirname "$0")/functions.sh"

P=$LIVEPATCH/lp_busy
START="livepatch: enabling patch 'lp_busy'
livepatch: 'lp_busy': initializing patching transition
lp_busy: pre_patch target_mod
livepatch: 'lp_busy': starting patching transition"
OFF="livepatch: 'lp_busy': initializing unpatching transition
lp_busy: pre_unpatch target_mod
livepatch: 'lp_busy': starting unpatching transition
livepatch: 'lp_busy': completing unpatching transition
lp_busy: post_unpatch target_mod
livepatch: 'lp_busy': unpatching complete"

# the patch_state of the busy task, by its name
state_of_busy() {
    local comm
    for comm in /proc/[0-9]*/task/*/comm; do
        [[ -e ${comm%comm}patch_state && $(cat "$comm" 2>/dev/null) == target_busy ]] && cat "${comm%comm}patch_state"
    done
}

pending() { wait_for "[[ \$(cat $P/transition) == 1 && \$(state_of_busy) == 0 ]]" "lp_busy is not pending"; }

begin "pending, then reversed by writing the opposite"
load_module target_mod busy=1
same "$(state_of_busy)" -1 "patch_state outside a transition"
load_patch_only lp_busy
pending
same "$(cat $P/enabled)" 1 enabled
same "$(answer 3)" "target by lp_busy" "who is not busy has the new version"
tid=$(grep -lx target_busy /proc/[0-9]*/task/*/comm 2>/dev/null | sed 's/.*task.\([0-9]*\).*/\1/')
same "$(cat "/proc/$tid/patch_state")" 0 "patch_state by the task's number alone"
grep -q target_mod.py "/proc/$tid/stack" || fail "its stack: $(cat "/proc/$tid/stack")"
load_fails lp_one
note "% rmmod lp_busy"; note "$(rmmod lp_busy 2>&1)"
same "$( { echo 1 > $P/enabled; } 2>&1 | sed 's/.*: //')" "Invalid argument" "the present value"
disable lp_busy
same "$(state_of_busy)" -1 "patch_state afterwards"
same "$(answer 3)" "target" "and has it back"
remove lp_busy
expect << END
% modprobe target_mod busy=1
target_mod: init
% modprobe lp_busy
$START
% modprobe lp_one
modprobe: ERROR: could not insert 'lp_one': Device or resource busy
% rmmod lp_busy
% echo 0 > $P/enabled
livepatch: 'lp_busy': reversing transition from patching to unpatching
livepatch: 'lp_busy': starting unpatching transition
livepatch: 'lp_busy': completing unpatching transition
lp_busy: post_unpatch target_mod
livepatch: 'lp_busy': unpatching complete
% rmmod lp_busy
END

begin "pending, then the task leaves"
load_patch_only lp_busy
pending
echo 1 > /sys/module/target_mod/parameters/release
wait_for "[[ \$(cat $P/transition) == 0 ]]" "the transition stays pending"
same "$(cat /sys/module/target_mod/parameters/{busy,release} | tr -d '\n')" YY "parameters"
same "$(cat $P/enabled)" 1 enabled
disable lp_busy
remove lp_busy target_mod
expect << END
% modprobe lp_busy
$START
livepatch: 'lp_busy': completing patching transition
lp_busy: post_patch target_mod
livepatch: 'lp_busy': patching complete
% echo 0 > $P/enabled
$OFF
% rmmod lp_busy
% rmmod target_mod
target_mod: exit
END

begin "the module goes while the patch is pending"
load_module target_mod busy=1
load_patch_only lp_busy
pending
remove target_mod
wait_for "[[ \$(cat $P/transition) == 0 ]]" "the transition stays pending"
disable lp_busy
remove lp_busy
expect << END
% modprobe target_mod busy=1
target_mod: init
% modprobe lp_busy
$START
% rmmod target_mod
target_mod: exit
livepatch: reverting patch 'lp_busy' on unloading module 'target_mod'
lp_busy: post_unpatch target_mod
livepatch: 'lp_busy': completing patching transition
livepatch: 'lp_busy': patching complete
% echo 0 > $P/enabled
$(unpatching lp_busy)
% rmmod lp_busy
END

begin "forced towards the patch: the old code goes some time, the patch can go too"
load_module target_mod busy=1
load_patch_only lp_busy
pending
note "% echo 1 > $P/force"
echo 1 > $P/force
wait_for "[[ \$(cat $P/transition) == 0 ]]" "the transition stays pending"
same "$( { echo 1 > $P/force; } 2>&1 | sed 's/.*: //')" "Invalid argument" "force outside a transition"
disable lp_busy
remove lp_busy
expect << END
% modprobe target_mod busy=1
target_mod: init
% modprobe lp_busy
$START
% echo 1 > $P/force
livepatch: forcing remaining tasks to the patched state
livepatch: 'lp_busy': completing patching transition
lp_busy: post_patch target_mod
livepatch: 'lp_busy': patching complete
% echo 0 > $P/enabled
$OFF
% rmmod lp_busy
END

begin "pending on the way out, reversed, and forced: then its module stays for ever"
echo 1 > /sys/module/target_mod/parameters/release
load_patch lp_busy stay=1
wait_for "grep -q lp_busy.py /proc/[0-9]*/task/*/stack 2>/dev/null" "the task does not get into the new function"
note "% echo 0 > $P/enabled"
echo 0 > $P/enabled
wait_for "[[ \$(cat $P/transition) == 1 && \$(state_of_busy) == 1 ]]" "lp_busy is not pending"
same "$(cat $P/enabled)" 0 enabled
same "$(answer 3)" "target" "who is not busy has the old version"
note "% echo 1 > $P/enabled"
echo 1 > $P/enabled
wait_for "[[ \$(cat $P/transition) == 0 ]]" "the transition stays pending"
same "$(cat $P/enabled)" 1 enabled
note "% echo 0 > $P/enabled"
echo 0 > $P/enabled
wait_for "[[ \$(cat $P/transition) == 1 ]]" "lp_busy is not pending"
note "% echo 1 > $P/force"
echo 1 > $P/force
wait_for "[[ ! -e $P ]]" "lp_busy stays"
same "$(cat /sys/module/lp_busy/refcnt)" 1 "refcnt"
same "$(rmmod lp_busy 2>&1)" "rmmod: ERROR: Module lp_busy is in use" "rmmod"
echo 0 > /sys/module/lp_busy/parameters/stay
expect << END
% modprobe lp_busy stay=1
$START
livepatch: 'lp_busy': completing patching transition
lp_busy: post_patch target_mod
livepatch: 'lp_busy': patching complete
% echo 0 > $P/enabled
livepatch: 'lp_busy': initializing unpatching transition
lp_busy: pre_unpatch target_mod
livepatch: 'lp_busy': starting unpatching transition
% echo 1 > $P/enabled
livepatch: 'lp_busy': reversing transition from unpatching to patching
livepatch: 'lp_busy': starting patching transition
livepatch: 'lp_busy': completing patching transition
lp_busy: post_patch target_mod
livepatch: 'lp_busy': patching complete
% echo 0 > $P/enabled
livepatch: 'lp_busy': initializing unpatching transition
lp_busy: pre_unpatch target_mod
livepatch: 'lp_busy': starting unpatching transition
% echo 1 > $P/force
livepatch: forcing remaining tasks to the patched state
livepatch: 'lp_busy': completing unpatching transition
lp_busy: post_unpatch target_mod
livepatch: 'lp_busy': unpatching complete
END
