"""What importing a new version of a module would do otherwise, done to the live module and taken back."""
