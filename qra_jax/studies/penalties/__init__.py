"""Studies of penalties and bonuses: KL, entropy, regularised policy iteration."""
