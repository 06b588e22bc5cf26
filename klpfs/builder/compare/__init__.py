"""Two versions of a module, compared: statements, syntax, functions, classes. Nothing is judged yet."""
