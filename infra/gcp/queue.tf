# A topic without a subscription drops what it acknowledges. So the subscription is there before the function and never
# expires, and both topics keep messages as long as their subscription does: one made anew can seek back to them.

resource "google_pubsub_topic" "events" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys; a key of one's own is a decision, and a way to lose every event.
  name                       = "${var.name}-events"
  message_retention_duration = "345600s" # 4 days, as the subscription

  message_storage_policy {
    allowed_persistence_regions = var.message_regions
  }

  depends_on = [time_sleep.enabled]
}

resource "google_pubsub_subscription" "events" {
  name                       = "${var.name}-events"
  topic                      = google_pubsub_topic.events.id
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = "345600s" # 4 days; Pub/Sub allows 31

  expiration_policy {
    ttl = "" # never: by default Pub/Sub deletes a subscription that nobody used for 31 days
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.max_delivery_attempts
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:Encrypted with Google's keys; a key of one's own is a decision, and a way to lose every event.
  name                       = "${var.name}-dead-letters"
  message_retention_duration = "1209600s" # 14 days, as the subscription

  message_storage_policy {
    allowed_persistence_regions = var.message_regions
  }

  depends_on = [time_sleep.enabled]
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = "1209600s" # 14 days, counted anew from when the message became a dead letter

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves a message to the dead letters, and silently does not where it lacks one of these two roles. Its
# account is not there in a project that has not used Pub/Sub yet, and a role cannot be given to an account that is not.

resource "google_project_service_identity" "pubsub" {
  provider = google-beta # in no other provider so far

  service = "pubsub.googleapis.com"

  depends_on = [time_sleep.enabled]
}

resource "google_pubsub_topic_iam_member" "dead_letters_arrive" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

resource "google_pubsub_subscription_iam_member" "dead_letters_leave" {
  subscription = google_pubsub_subscription.events.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent

  depends_on = [google_project_service_identity.pubsub]
}

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}
