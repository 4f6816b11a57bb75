"""Studies of how fast training goes: clocks of algorithms, optimisers, staleness."""
