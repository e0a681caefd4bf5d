"""Hostile and odd input for the entry points and for screening, with an oracle that knows who may be believed."""
