"""The terms that an agent and its coordinators must agree on, written once.

The wire, the shapes of messages, the journal's text, the decisions, names, and the layout of a service's folder.

The standard library alone: half of those who import it are patched programs.
"""
