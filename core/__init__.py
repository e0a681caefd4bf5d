"""The receiver itself: what a genuine event is and where it goes. Imports pydantic and the standard library only."""
