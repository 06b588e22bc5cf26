"""The klpfs command: nothing that the files of a mounted tree can't do as well."""
