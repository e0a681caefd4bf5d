# The redrive: every five minutes the spool goes back to the queue, and the gauges are written that the alarms read.

resource "google_cloudfunctions2_function" "redrive" {
  name        = "${var.name}-redrive"
  location    = var.region
  description = "Puts spooled events back on ${google_pubsub_topic.events.name}"

  build_config {
    runtime           = "python313"
    entry_point       = "redrive"
    service_account   = google_service_account.this["build"].id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.this["redrive"].email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Cloud Scheduler of the same project counts as internal
    available_memory                 = "512Mi"
    available_cpu                    = "1"
    max_instance_request_concurrency = 1
    max_instance_count               = 1
    min_instance_count               = 0
    timeout_seconds                  = 120 # a run takes 45 seconds at most, and then counts what is left
    environment_variables            = merge(local.environment, { THREADS = "1" })
    all_traffic_on_latest_revision   = true
  }

  depends_on = [google_pubsub_subscription.events, time_sleep.settled]
}

resource "google_cloud_run_v2_service_iam_member" "schedule_calls_redrive" {
  name     = google_cloudfunctions2_function.redrive.name
  location = var.region
  role     = "roles/run.invoker"
  member   = local.members["schedule"]
}

resource "google_cloud_scheduler_job" "redrive" {
  name             = "${var.name}-redrive"
  region           = coalesce(var.scheduler_region, var.region)
  description      = "Puts spooled events back on the queue"
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  retry_config {
    retry_count = 0 # the next run is five minutes away
  }

  http_target {
    uri         = google_cloudfunctions2_function.redrive.service_config[0].uri
    http_method = "POST"

    oidc_token {
      service_account_email = google_service_account.this["schedule"].email
      audience              = google_cloudfunctions2_function.redrive.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.schedule_calls_redrive]
}
