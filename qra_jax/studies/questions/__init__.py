"""Studies of many questions at once."""
