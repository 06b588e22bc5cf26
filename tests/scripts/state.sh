#!/bin/bash
# System states: made, handed on, taken back; patches that don't fit are refused. (system-state.txt)
. "$(dirname "$0")/functions.sh"

begin "a state is made with the patch and goes with it"
load_patch lp_state
disable lp_state
remove lp_state
expect << END
% modprobe lp_state
livepatch: enabling patch 'lp_state'
livepatch: 'lp_state': initializing patching transition
lp_state: makes the volume
$(rest_of lp_state patching)
% echo 0 > $LIVEPATCH/lp_state/enabled
livepatch: 'lp_state': initializing unpatching transition
livepatch: 'lp_state': starting unpatching transition
livepatch: 'lp_state': completing unpatching transition
lp_state: takes back the volume
livepatch: 'lp_state': unpatching complete
% rmmod lp_state
END

begin "the next patch takes it over"
load_patch lp_state
load_patch lp_state_two
remove lp_state
disable lp_state_two
remove lp_state_two
expect << END
% modprobe lp_state
livepatch: enabling patch 'lp_state'
livepatch: 'lp_state': initializing patching transition
lp_state: makes the volume
$(rest_of lp_state patching)
% modprobe lp_state_two
livepatch: enabling patch 'lp_state_two'
livepatch: 'lp_state_two': initializing patching transition
lp_state_two: takes over the volume of version 1
$(rest_of lp_state_two patching)
% rmmod lp_state
% echo 0 > $LIVEPATCH/lp_state_two/enabled
livepatch: 'lp_state_two': initializing unpatching transition
livepatch: 'lp_state_two': starting unpatching transition
livepatch: 'lp_state_two': completing unpatching transition
lp_state_two: takes back the volume
livepatch: 'lp_state_two': unpatching complete
% rmmod lp_state_two
END

begin "neither an older version nor one without the state"
load_patch lp_state_two
load_fails lp_state
load_fails lp_stateless
disable lp_state_two
remove lp_state_two
expect << END
% modprobe lp_state_two
livepatch: enabling patch 'lp_state_two'
livepatch: 'lp_state_two': initializing patching transition
lp_state_two: makes the volume
$(rest_of lp_state_two patching)
% modprobe lp_state
livepatch: Livepatch patch (lp_state) is not compatible with the already installed livepatches.
modprobe: ERROR: could not insert 'lp_state': Invalid argument
% modprobe lp_stateless
livepatch: Livepatch patch (lp_stateless) is not compatible with the already installed livepatches.
modprobe: ERROR: could not insert 'lp_stateless': Invalid argument
% echo 0 > $LIVEPATCH/lp_state_two/enabled
livepatch: 'lp_state_two': initializing unpatching transition
livepatch: 'lp_state_two': starting unpatching transition
livepatch: 'lp_state_two': completing unpatching transition
lp_state_two: takes back the volume
livepatch: 'lp_state_two': unpatching complete
% rmmod lp_state_two
END
