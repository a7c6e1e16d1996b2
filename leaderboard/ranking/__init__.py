"""Rows and boards: runs pooled over seeds, ranked, and said in words."""
