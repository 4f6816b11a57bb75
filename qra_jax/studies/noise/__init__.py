"""Studies of sampling noise and of noisy verifiers."""
