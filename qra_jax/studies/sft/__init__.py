"""Studies of SFT before and between RL."""
