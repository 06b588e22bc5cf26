"""Two versions of a module, compared: statements, syntax, functions."""
