"""The figures that klpfs promises, each measured beside its goal (`make bench`)."""
