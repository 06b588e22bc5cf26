"""The patch engine: what Linux does in kernel/livepatch, one idea a file, with no clock, thread or file of its own."""
