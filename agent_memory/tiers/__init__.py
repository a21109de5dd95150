"""The way in, who leaves a tier, and moving entries so that nothing is lost."""
