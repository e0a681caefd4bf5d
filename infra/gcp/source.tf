# What is deployed, on its way: the staged directory as a zip, and the images that are built of it.

data "archive_file" "source" {
  type        = "zip"
  source_dir  = "${path.module}/${var.source_dir}"
  output_path = "${path.module}/${var.source_dir}.zip"
  excludes    = [".env"]
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:It holds the program alone, which is public.
  #checkov:skip=CKV_GCP_78:An object's name carries its hash, so nothing is ever written over.
  name                        = "${var.project}-${var.name}-source"
  location                    = var.bucket_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  depends_on = [time_sleep.enabled]
}

resource "google_storage_bucket_object" "source" {
  name   = "${var.name}-${data.archive_file.source.output_md5}.zip"
  bucket = google_storage_bucket.source.name
  source = data.archive_file.source.output_path
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Encrypted with Google's keys; it holds the program alone.
  repository_id = "${var.name}-images"
  location      = var.region
  format        = "DOCKER"

  # The gcloud path uses the same file.
  dynamic "cleanup_policies" {
    for_each = { for policy in jsondecode(file("${path.module}/cleanup.json")) : policy.name => policy }

    content {
      id     = cleanup_policies.key
      action = upper(cleanup_policies.value.action.type)

      dynamic "condition" {
        for_each = try([cleanup_policies.value.condition], [])

        content {
          tag_state  = upper(condition.value.tagState)
          older_than = condition.value.olderThan
        }
      }
      dynamic "most_recent_versions" {
        for_each = try([cleanup_policies.value.mostRecentVersions], [])

        content {
          keep_count = most_recent_versions.value.keepCount
        }
      }
    }
  }

  depends_on = [time_sleep.enabled]
}
