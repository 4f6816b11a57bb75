"""Studies of where training goes: regimes, stalls, optima."""
