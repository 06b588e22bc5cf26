"""Looks at stacks and suspended objects. Code here must not be torn by other threads: captured C functions only."""
