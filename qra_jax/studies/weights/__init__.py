"""Studies of the weights: which of them training moves, how far, along which directions, and what that is for."""
