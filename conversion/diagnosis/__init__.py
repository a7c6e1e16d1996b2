"""Where the error of a converted network comes from, layer by layer."""
