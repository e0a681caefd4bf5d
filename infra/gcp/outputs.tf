output "webhook_url" {
  description = "What Dastra is to call."
  value       = google_cloudfunctions2_function.receive.service_config[0].uri
}

output "topic" {
  description = "Where genuine events are published."
  value       = google_pubsub_topic.events.id
}

output "subscription" {
  description = "What a consumer pulls from. A consumer of your own needs roles/pubsub.subscriber on it."
  value       = google_pubsub_subscription.events.id
}

output "dead_letter_subscription" {
  description = "What a consumer failed on."
  value       = google_pubsub_subscription.dead_letters.id
}

output "store" {
  description = "The bucket. A consumer that follows pointers needs roles/storage.objectViewer on its claims/."
  value       = google_storage_bucket.store.name
}

output "keys_secret" {
  description = "Where the keys belong, newest first."
  value       = google_secret_manager_secret.keys.id
}

output "api_key_secret" {
  description = "Where a key of Dastra's API belongs, when webhook_check is on."
  value       = one(google_secret_manager_secret.api_key[*].id)
}

output "next_step" {
  description = "What to do now."
  value = join("\n", concat(
    var.public_access == "all-users" ? [] : [
      "Let Dastra in, since allUsers was not allowed (docs/deploy-gcp.md, \"Organisations that forbid allUsers\"):",
      "  gcloud run services update ${google_cloudfunctions2_function.receive.name} --project=${var.project} --region=${var.region} --no-invoker-iam-check",
    ],
    [
      "Create the webhook in Dastra, with its key in the secret (without a key of Dastra's API: by hand, then dastra-webhooks key set):",
      "  export DASTRA_CLOUD=gcp DASTRA_STACK=projects/${var.project}/locations/${var.region}/services/${google_cloudfunctions2_function.receive.name}",
      "  dastra-webhooks register --workspace ID --all",
      "Then have Dastra send a test, and accept the address it called from: dastra-webhooks test TaskCreation; dastra-webhooks addresses list",
    ],
    var.webhook_check ? [
      "Give a key of Dastra's API to the check of the webhooks; it is read from standard input:",
      "  gcloud secrets versions add ${var.name}-api-key --project=${var.project} --data-file=-",
    ] : [],
  ))
}
