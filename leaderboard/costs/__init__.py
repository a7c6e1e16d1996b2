"""Boards under energy models: their order, verdicts, break-even."""
