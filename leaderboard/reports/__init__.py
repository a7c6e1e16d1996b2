"""Boards for the terminal, for papers and for programs."""
