"""The client of Dastra's public API: what commands need to register, watch and test webhooks, and to read the log."""
