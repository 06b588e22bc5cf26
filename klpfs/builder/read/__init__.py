"""Two releases, read: sources, modules, source text, the definitions of the old release."""
