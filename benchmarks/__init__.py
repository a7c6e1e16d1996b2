"""What is run: matrices of cells, the runner, the `spikemark` command."""
