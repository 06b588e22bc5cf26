#!/bin/bash
# Callbacks in every order: the module before, after, during the patch; failing ones; several patches. (callbacks.txt)
. "$(dirname "$0")/functions.sh"

OFF="% echo 0 > $LIVEPATCH/lp_calls/enabled"
load() {
    echo "% modprobe lp_calls"
    echo "livepatch: enabling patch 'lp_calls'"
    echo "livepatch: 'lp_calls': initializing patching transition"
}

begin "the module is there before the patch"
load_module target_mod
load_patch lp_calls
answers 'hello|good bye|target by lp_calls|first|second'
disable lp_calls
remove lp_calls target_mod
expect << END
% modprobe target_mod
target_mod: init
$(load)
lp_calls: pre_patch vmlinux
lp_calls: pre_patch target_mod -> LIVE
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
lp_calls: post_patch target_mod -> LIVE
livepatch: 'lp_calls': patching complete
$OFF
livepatch: 'lp_calls': initializing unpatching transition
lp_calls: pre_unpatch vmlinux
lp_calls: pre_unpatch target_mod -> LIVE
livepatch: 'lp_calls': starting unpatching transition
livepatch: 'lp_calls': completing unpatching transition
lp_calls: post_unpatch vmlinux
lp_calls: post_unpatch target_mod -> LIVE
livepatch: 'lp_calls': unpatching complete
% rmmod lp_calls
lp_calls: exit
% rmmod target_mod
target_mod: exit
END

begin "the module comes while the patch is enabled"
load_patch lp_calls
same "$(cat $LIVEPATCH/lp_calls/target_mod/patched)" 0 "patched before"
load_module target_mod
same "$(cat $LIVEPATCH/lp_calls/target_mod/patched)" 1 "patched after"
same "$(answer 3)" "target by lp_calls" "the module answers"
disable lp_calls
remove lp_calls target_mod
expect << END
$(load)
lp_calls: pre_patch vmlinux
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
livepatch: 'lp_calls': patching complete
% modprobe target_mod
livepatch: applying patch 'lp_calls' to loading module 'target_mod'
lp_calls: pre_patch target_mod -> COMING
lp_calls: post_patch target_mod -> COMING
target_mod: init
$OFF
livepatch: 'lp_calls': initializing unpatching transition
lp_calls: pre_unpatch vmlinux
lp_calls: pre_unpatch target_mod -> LIVE
livepatch: 'lp_calls': starting unpatching transition
livepatch: 'lp_calls': completing unpatching transition
lp_calls: post_unpatch vmlinux
lp_calls: post_unpatch target_mod -> LIVE
livepatch: 'lp_calls': unpatching complete
% rmmod lp_calls
lp_calls: exit
% rmmod target_mod
target_mod: exit
END

begin "the module goes while the patch is enabled"
load_module target_mod
load_patch lp_calls
remove target_mod
same "$(cat $LIVEPATCH/lp_calls/target_mod/patched)" 0 "patched after it went"
disable lp_calls
remove lp_calls
expect << END
% modprobe target_mod
target_mod: init
$(load)
lp_calls: pre_patch vmlinux
lp_calls: pre_patch target_mod -> LIVE
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
lp_calls: post_patch target_mod -> LIVE
livepatch: 'lp_calls': patching complete
% rmmod target_mod
target_mod: exit
lp_calls: pre_unpatch target_mod -> GOING
livepatch: reverting patch 'lp_calls' on unloading module 'target_mod'
lp_calls: post_unpatch target_mod -> GOING
$OFF
livepatch: 'lp_calls': initializing unpatching transition
lp_calls: pre_unpatch vmlinux
livepatch: 'lp_calls': starting unpatching transition
livepatch: 'lp_calls': completing unpatching transition
lp_calls: post_unpatch vmlinux
livepatch: 'lp_calls': unpatching complete
% rmmod lp_calls
lp_calls: exit
END

begin "a failing pre_patch refuses the patch"
load_module target_mod
load_fails lp_calls pre_ret=-19
[[ -e $LIVEPATCH/lp_calls || -e /sys/module/lp_calls ]] && fail "something is left"
remove target_mod
expect << END
% modprobe target_mod
target_mod: init
% modprobe lp_calls pre_ret=-19
livepatch: enabling patch 'lp_calls'
livepatch: 'lp_calls': initializing patching transition
lp_calls: pre_patch vmlinux
livepatch: pre-patch callback failed for object 'vmlinux'
livepatch: failed to enable patch 'lp_calls'
livepatch: 'lp_calls': canceling patching transition, going to unpatch
livepatch: 'lp_calls': completing unpatching transition
livepatch: 'lp_calls': unpatching complete
modprobe: ERROR: could not insert 'lp_calls': No such device
% rmmod target_mod
target_mod: exit
END

begin "a failing pre_patch refuses the module that comes"
load_patch lp_calls
note "% echo -19 > /sys/module/lp_calls/parameters/pre_ret"
echo -19 > /sys/module/lp_calls/parameters/pre_ret
wait_for '[[ $(cat /sys/module/lp_calls/parameters/pre_ret) == -19 ]]' "pre_ret is not set"
load_fails target_mod
[[ -e /sys/module/target_mod ]] && fail "the module is there"
disable lp_calls
remove lp_calls
expect << END
$(load)
lp_calls: pre_patch vmlinux
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
livepatch: 'lp_calls': patching complete
% echo -19 > /sys/module/lp_calls/parameters/pre_ret
% modprobe target_mod
livepatch: applying patch 'lp_calls' to loading module 'target_mod'
lp_calls: pre_patch target_mod -> COMING
livepatch: pre-patch callback failed for object 'target_mod'
livepatch: patch 'lp_calls' failed for module 'target_mod', refusing to load module 'target_mod'
modprobe: ERROR: could not insert 'target_mod': No such device
$OFF
livepatch: 'lp_calls': initializing unpatching transition
lp_calls: pre_unpatch vmlinux
livepatch: 'lp_calls': starting unpatching transition
livepatch: 'lp_calls': completing unpatching transition
lp_calls: post_unpatch vmlinux
livepatch: 'lp_calls': unpatching complete
% rmmod lp_calls
lp_calls: exit
END

begin "a module comes and goes while the patch is pending, then it is reversed"
load_module target_mod busy=1
load_patch_only lp_pending
wait_for "[[ \$(cat $LIVEPATCH/lp_pending/transition) == 1 ]]" "it is not pending"
load_module other_mod
remove other_mod
load_module other_mod
disable lp_pending
remove lp_pending other_mod
expect << END
% modprobe target_mod busy=1
target_mod: init
% modprobe lp_pending
livepatch: enabling patch 'lp_pending'
livepatch: 'lp_pending': initializing patching transition
lp_pending: pre_patch vmlinux
lp_pending: pre_patch target_mod -> LIVE
livepatch: 'lp_pending': starting patching transition
% modprobe other_mod
livepatch: applying patch 'lp_pending' to loading module 'other_mod'
lp_pending: pre_patch other_mod -> COMING
other_mod: init
% rmmod other_mod
other_mod: exit
livepatch: reverting patch 'lp_pending' on unloading module 'other_mod'
lp_pending: post_unpatch other_mod -> GOING
% modprobe other_mod
livepatch: applying patch 'lp_pending' to loading module 'other_mod'
lp_pending: pre_patch other_mod -> COMING
other_mod: init
% echo 0 > $LIVEPATCH/lp_pending/enabled
livepatch: 'lp_pending': reversing transition from patching to unpatching
livepatch: 'lp_pending': starting unpatching transition
livepatch: 'lp_pending': completing unpatching transition
lp_pending: post_unpatch vmlinux
lp_pending: post_unpatch target_mod -> LIVE
lp_pending: post_unpatch other_mod -> LIVE
livepatch: 'lp_pending': unpatching complete
% rmmod lp_pending
% rmmod other_mod
other_mod: exit
END

begin "two patches with callbacks, the older one goes first"
load_module other_mod
load_patch lp_calls
remove target_mod
load_patch lp_pending
disable lp_calls
disable lp_pending
remove lp_pending lp_calls other_mod
expect << END
% modprobe other_mod
other_mod: init
% modprobe lp_calls
livepatch: enabling patch 'lp_calls'
livepatch: 'lp_calls': initializing patching transition
lp_calls: pre_patch vmlinux
lp_calls: pre_patch target_mod -> LIVE
livepatch: 'lp_calls': starting patching transition
livepatch: 'lp_calls': completing patching transition
lp_calls: post_patch vmlinux
lp_calls: post_patch target_mod -> LIVE
livepatch: 'lp_calls': patching complete
% rmmod target_mod
target_mod: exit
lp_calls: pre_unpatch target_mod -> GOING
livepatch: reverting patch 'lp_calls' on unloading module 'target_mod'
lp_calls: post_unpatch target_mod -> GOING
% modprobe lp_pending
livepatch: enabling patch 'lp_pending'
livepatch: 'lp_pending': initializing patching transition
lp_pending: pre_patch vmlinux
lp_pending: pre_patch other_mod -> LIVE
livepatch: 'lp_pending': starting patching transition
livepatch: 'lp_pending': completing patching transition
lp_pending: post_patch vmlinux
lp_pending: post_patch other_mod -> LIVE
livepatch: 'lp_pending': patching complete
% echo 0 > $LIVEPATCH/lp_calls/enabled
livepatch: 'lp_calls': initializing unpatching transition
lp_calls: pre_unpatch vmlinux
livepatch: 'lp_calls': starting unpatching transition
livepatch: 'lp_calls': completing unpatching transition
lp_calls: post_unpatch vmlinux
livepatch: 'lp_calls': unpatching complete
% echo 0 > $LIVEPATCH/lp_pending/enabled
livepatch: 'lp_pending': initializing unpatching transition
lp_pending: pre_unpatch vmlinux
lp_pending: pre_unpatch other_mod -> LIVE
livepatch: 'lp_pending': starting unpatching transition
livepatch: 'lp_pending': completing unpatching transition
lp_pending: post_unpatch vmlinux
lp_pending: post_unpatch other_mod -> LIVE
livepatch: 'lp_pending': unpatching complete
% rmmod lp_pending
% rmmod lp_calls
lp_calls: exit
% rmmod other_mod
other_mod: exit
END
