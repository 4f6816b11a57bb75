"""Reward and credit: who is paid, for what, and what that changes."""
