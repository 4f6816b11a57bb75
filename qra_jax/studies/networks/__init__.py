"""Studies of small transformers beside the theory."""
