"""The receiver on AWS: Lambda in front, SQS as the queue, S3 as the store, Secrets Manager for the keys."""
