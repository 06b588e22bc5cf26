#!/bin/bash
# The tree: what is there, with which rights, and what it takes. (Documentation/ABI/testing/sysfs-kernel-livepatch)
. "$(dirname "$0")/functions.sh"

rights() { same "$(stat --format %A "$LIVEPATCH/$1")" "$2" "rights of $1"; }
refused() { same "$( { echo "$1" > "$LIVEPATCH/$2"; } 2>&1 | sed 's/.*: //')" "$3" "writing '$1' to $2"; }

begin "names, rights, values"
load_patch lp_two
rights lp_two drwxr-xr-x
rights lp_two/enabled -rw-r--r--
rights lp_two/transition -r--r--r--
rights lp_two/force --w-------
rights lp_two/vmlinux drwxr-xr-x
rights lp_two/vmlinux/patched -r--r--r--
rights lp_two/vmlinux/greeting,1 drwxr-xr-x
same "$(cat $LIVEPATCH/lp_two/vmlinux/patched)" 1 patched
same "$(find $LIVEPATCH -type f | grep -v -e replace -e stack_order | sort | tr '\n' ' ')" \
    "$LIVEPATCH/lp_two/enabled $LIVEPATCH/lp_two/force $LIVEPATCH/lp_two/transition $LIVEPATCH/lp_two/vmlinux/patched " "files"
same "$(find $LIVEPATCH -mindepth 3 -type d | sort | tr '\n' ' ')" \
    "$LIVEPATCH/lp_two/vmlinux/farewell,1 $LIVEPATCH/lp_two/vmlinux/greeting,1 " "functions"
same "$(stat --format %s-%h $LIVEPATCH/lp_two/enabled $LIVEPATCH/lp_two | tr '\n' ' ')" "4096-1 0-3 " "sizes and links"
while read -r file; do
    [[ ! -r $file || $file == */force ]] || cat "$file" > /dev/null || fail "cat $file"
done < <(find $LIVEPATCH /sys/module -type f)
passed

begin "what is not taken"
refused 1 lp_two/enabled "Invalid argument"
refused 2 lp_two/enabled "Invalid argument"
refused " 0" lp_two/enabled "Invalid argument"
refused x lp_two/enabled "Invalid argument"
refused 1 lp_two/force "Invalid argument"
refused 1 lp_two/transition "Permission denied"
cat $LIVEPATCH/lp_two/force 2>/dev/null && fail "force can be read"
mkdir $LIVEPATCH/new 2>/dev/null && fail "mkdir"
rm -f $LIVEPATCH/lp_two/enabled 2>/dev/null && fail "rm"
rmdir $LIVEPATCH/lp_two 2>/dev/null && fail "rmdir"
touch $LIVEPATCH/lp_two/new 2>/dev/null && fail "touch"
echo 0 > $LIVEPATCH/lp_two/force || fail "a 0 for force is nothing"
same "$(cat $LIVEPATCH/lp_two/enabled)" 1 "enabled after all that"
passed

begin "each process has a patch_state, -1 outside a transition"
seen=0
for file in /proc/[0-9]*/patch_state /proc/[0-9]*/task/*/patch_state; do
    same "$(cat "$file")" -1 "$file"
    seen=$((seen + 1))
done
[[ $seen -ge 2 ]] || fail "only $seen"
passed

begin "the rest of /proc is the machine's"
same "$(cat /proc/self/comm)" cat "/proc/self"
same "$(cat /proc/$$/comm)" sysfs.sh "/proc/$$"
[[ -e /proc/1/status && -e /proc/uptime && -d /proc/self/fd && -e /proc/sys/kernel/ostype ]] || fail "something is missing"
same "$(diff <(echo a) <(echo a) && echo same)" same "process substitution"
[[ -n $(ls /proc/self/fd) && -d /sys/kernel/mm || ! -d /sys/kernel/mm ]] || fail "/sys/kernel"
passed

begin "a held file of a patch that goes"
exec 3< $LIVEPATCH/lp_two/enabled
cd $LIVEPATCH/lp_two || fail "cd"
disable lp_two
same "$(cat <&3 2>&1)" "cat: -: No such device" "reading it"
same "$(ls)" "" "a working directory that is gone"
cd / || exit
exec 3<&-
remove lp_two
expect << END
% echo 0 > $LIVEPATCH/lp_two/enabled
$(unpatching lp_two)
% rmmod lp_two
END
