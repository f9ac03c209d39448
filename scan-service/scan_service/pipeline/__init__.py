"""The pipeline: one `meltano run` for one scan, from its start to its verdict."""
