"""The command line `dastra-webhooks`, one file per command."""
