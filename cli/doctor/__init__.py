"""`dastra-webhooks doctor`: what a deployed receiver must do, and whether it does it."""
