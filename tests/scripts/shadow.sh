#!/bin/bash
# Shadow variables. (shadow-vars.txt)
. "$(dirname "$0")/functions.sh"

begin "attached, found, not twice, freed"
insert lp_shadow
remove lp_shadow
expect << 'END'
% modprobe lp_shadow
lp_shadow: get None
lp_shadow: made with 21
lp_shadow: alloc 42
lp_shadow: get 42
lp_shadow: other id None
lp_shadow: get_or_alloc 42
lp_shadow: made with 4
lp_shadow: get_or_alloc 8
livepatch: Duplicate shadow variable <object, 1>
lp_shadow: alloc again None
lp_shadow: dropped 42
lp_shadow: freed None
lp_shadow: dropped 8
lp_shadow: all freed None
% rmmod lp_shadow
END
