"""A folder of results: records, and what lies beside them; checked on reading, packed for others."""
