"""The subcommands of `spikemark`: options, calls, and what is printed in the end.

What needs torch is imported inside the command that needs it, so that `spikemark leaderboard` and every
--help answer at once.
"""
