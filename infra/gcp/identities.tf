# Four service accounts, and one more where the webhooks are checked, each with what it needs and nothing of the project. What runs has no role on the project at all.

resource "google_service_account" "this" {
  for_each = merge(
    {
      receive  = "Runs the webhook"
      redrive  = "Runs the redrive"
      schedule = "Calls the redrive"
      build    = "Builds the functions' images"
    },
    var.webhook_check ? { watch = "Runs the check of the webhooks" } : {},
  )

  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: ${each.value}"

  depends_on = [time_sleep.enabled]
}

locals {
  members = { for key, account in google_service_account.this : key => "serviceAccount:${account.email}" }
  objects = "projects/_/buckets/${google_storage_bucket.store.name}/objects"
}

resource "google_pubsub_topic_iam_member" "publishes" {
  for_each = toset(["receive", "redrive"])

  topic  = google_pubsub_topic.events.id
  role   = "roles/pubsub.publisher"
  member = local.members[each.key]
}

resource "google_secret_manager_secret_iam_member" "receive_reads_keys" {
  secret_id = google_secret_manager_secret.keys.id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members["receive"]
}

# Reading and writing can be limited to a prefix by a condition. Listing cannot: Cloud Storage asks for that permission on
# the bucket, so each account sees every object's name (times and hashes, no personal data). The receiver cannot read
# what it put into the spool or the quarantine, and neither account can accept an address.
resource "google_storage_bucket_iam_member" "store" {
  for_each = {
    receive_lists  = { member = "receive", role = "roles/storage.legacyBucketReader", prefixes = [] }
    receive_claims = { member = "receive", role = "roles/storage.objectUser", prefixes = ["claims/"] }
    receive_keeps  = { member = "receive", role = "roles/storage.objectCreator", prefixes = ["spool/", "quarantine/"] }
    redrive_lists  = { member = "redrive", role = "roles/storage.legacyBucketReader", prefixes = [] }
    redrive_works  = { member = "redrive", role = "roles/storage.objectUser", prefixes = ["claims/", "spool/", "quarantine/", "leases/"] }
  }

  bucket = google_storage_bucket.store.name
  role   = each.value.role
  member = local.members[each.value.member]

  dynamic "condition" {
    for_each = length(each.value.prefixes) > 0 ? [each.value.prefixes] : []

    content {
      title      = each.key
      expression = join(" || ", [for prefix in condition.value : "resource.name.startsWith(\"${local.objects}/${prefix}\")"])
    }
  }
}

# The builder: the project's default account would do it too, but can do far more, and many organisations take its roles.

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter" # cannot be given for less than a project
  member  = local.members["build"]
}

# The source is read from Google's own bucket, which the first deployment makes. Hence the project, and the condition.
resource "google_project_iam_member" "build_reads_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = local.members["build"]

  condition {
    title = "source_only"
    expression = join(" || ", [
      "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-\")",
      "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.source.name}/\")",
    ])
  }
}

resource "google_artifact_registry_repository_iam_member" "build_pushes" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = local.members["build"]
}
