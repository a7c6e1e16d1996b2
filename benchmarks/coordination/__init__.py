"""What processes that share a results folder write for each other: claims, progress, notes of runs."""
