"""The tree as plain Python nodes by id, and the FUSE protocol that serves them."""
