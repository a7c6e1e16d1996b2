"""Packages that add something: `spikemark new` writes one, `spikemark check` judges what it adds."""
