"""Checks of our own for checkov, which has none for Service Bus in Bicep."""
