"""The plan of a livepatch: how every difference is carried: by a Func, by work at import time, or not at all, with a
Refusal."""
