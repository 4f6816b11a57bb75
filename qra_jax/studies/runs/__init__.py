"""Studies of measured runs and of forecasts."""
