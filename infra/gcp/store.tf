# Where an event waits that the queue cannot take, and where a person finds what was held.
#
#   claims/      50 days: a pointer may wait 30 days in the spool, 4 on the queue and 14 among the dead letters
#   spool/       30 days, with an alarm 7 days before
#   quarantine/  30 days, with an alarm 7 days before
#   addresses/   for good: addresses that a person accepted; empty objects, no personal data of an event
#   leases/      for good: one object, which says that a redrive is under way

resource "google_storage_bucket" "store" {
  #checkov:skip=CKV_GCP_62:An access log would be a second store of personal data; Cloud Audit Logs can record reads.
  #checkov:skip=CKV_GCP_78:Old versions would keep personal data that was deleted.
  name                        = "${var.project}-${var.name}-store"
  location                    = var.bucket_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.delete_stored_data

  # Cloud Storage's own default is 7 days: events put back on the queue, or dropped by a person, would stay that long.
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  # The gcloud path uses the same file.
  dynamic "lifecycle_rule" {
    for_each = jsondecode(file("${path.module}/lifecycle.json")).rule

    content {
      action {
        type = lifecycle_rule.value.action.type
      }
      condition {
        age            = lifecycle_rule.value.condition.age
        matches_prefix = try(lifecycle_rule.value.condition.matchesPrefix, null)
      }
    }
  }

  depends_on = [time_sleep.enabled]
}
