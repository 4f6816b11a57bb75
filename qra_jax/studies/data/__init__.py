"""Data before and during reinforcement learning: what a base model was shown decides what rewards can select."""
