"""Bringing back what was missed: Dastra's log against what is known to have arrived."""
