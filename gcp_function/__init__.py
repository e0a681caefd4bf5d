"""The receiver on Google Cloud: a Cloud Run function, Pub/Sub as the queue, Cloud Storage as the store."""
