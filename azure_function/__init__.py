"""The receiver on Azure: Functions in front, Service Bus as queue, Blob Storage as store, Key Vault for the keys."""
