"""Images: what a function object holds at one moment, taken and put as a whole."""
