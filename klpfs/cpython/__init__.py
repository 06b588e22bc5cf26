"""The Python target: CPython's functions, tasks and modules, as the engine needs them."""
