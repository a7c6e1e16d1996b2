"""The regression gate: run small matrices on embedded data, and compare with a committed baseline."""
