# The services of Google Cloud that are used, and the waits that freshly made things need.

resource "google_project_service" "used" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudscheduler.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false # something else in the project may use it
}

# Read while planning, so that who has which role is known before anything is made. Needs the Cloud Resource Manager API,
# as every role on a project does; docs/deploy-gcp.md enables it by hand, since Terraform cannot before it has read this.
data "google_project" "this" {
  project_id = var.project
}

# A service that was just enabled refuses its first calls as disabled. Each pause is made anew with what it waits for.
resource "time_sleep" "enabled" {
  create_duration = "60s"
  triggers        = { services = join(" ", [for service in google_project_service.used : service.service]) }
}

# Some minutes until a role has reached the builder, and until Cloud Monitoring knows a log-based metric: it answers 404 for
# an alarm on one that is seconds old.
resource "time_sleep" "settled" {
  create_duration = "180s"
  triggers = {
    accounts = join(" ", keys(google_service_account.this))
    metrics  = join(" ", keys(google_logging_metric.this))
  }

  depends_on = [
    google_logging_metric.this,
    google_artifact_registry_repository_iam_member.build_pushes,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_reads_source,
    google_pubsub_topic_iam_member.publishes,
    google_secret_manager_secret_iam_member.receive_reads_keys,
    google_secret_manager_secret_iam_member.watch_reads_api_key,
    google_storage_bucket_iam_member.store,
  ]
}
