"""Files: written all or nothing, and YAML read with care."""
