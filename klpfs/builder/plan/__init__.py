"""The plan of a livepatch: which functions, which work at import time, or which refusal."""
