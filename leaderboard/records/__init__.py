"""What a record holds, and how older records are brought up to date."""
