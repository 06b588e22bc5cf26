#!/bin/bash
# kernel.ftrace_enabled: no patches while it is 0, not 0 while there are any.
. "$(dirname "$0")/functions.sh"

# set_ftrace VALUE: what happened goes to the log
set_ftrace() {
    local said
    said=$(sysctl -q kernel.ftrace_enabled="$1" 2>&1)
    if [[ $(sysctl --values kernel.ftrace_enabled) == "$1" ]]; then
        note "livepatch: kernel.ftrace_enabled = $1"
    else
        note "livepatch: $said"
    fi
}

begin "switched off, nothing is loaded"
set_ftrace 0
load_fails lp_one
answers 'hello|good bye|-|first|second'
set_ftrace 1
load_patch lp_one
answers 'hello by lp_one|good bye|-|first|second'
set_ftrace 0
answers 'hello by lp_one|good bye|-|first|second'
same "$(cat /proc/sys/kernel/ftrace_enabled)" 1 "ftrace_enabled"
echo 0 2>/dev/null > /proc/sys/kernel/ftrace_enabled && fail "it could be written"
disable lp_one
remove lp_one
set_ftrace 0
set_ftrace 1
expect << END
livepatch: kernel.ftrace_enabled = 0
% modprobe lp_one
livepatch: enabling patch 'lp_one'
livepatch: 'lp_one': initializing patching transition
livepatch: failed to register ftrace handler for function 'greeting' (-16)
livepatch: failed to patch object 'vmlinux'
livepatch: failed to enable patch 'lp_one'
livepatch: 'lp_one': canceling patching transition, going to unpatch
livepatch: 'lp_one': completing unpatching transition
livepatch: 'lp_one': unpatching complete
modprobe: ERROR: could not insert 'lp_one': Device or resource busy
livepatch: kernel.ftrace_enabled = 1
% modprobe lp_one
$(patching lp_one)
livepatch: sysctl: setting key "kernel.ftrace_enabled": Device or resource busy
% echo 0 > $LIVEPATCH/lp_one/enabled
$(unpatching lp_one)
% rmmod lp_one
livepatch: kernel.ftrace_enabled = 0
livepatch: kernel.ftrace_enabled = 1
END
