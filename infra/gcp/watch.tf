# The check of the webhooks, where it is asked for: every 15 minutes Dastra's API is asked how many errors they had and
# whether one is blocked. Apart from the receiver in every respect, so that whatever happens here, events come in.

# Without a version, as the signature keys: no key is ever in Terraform's state.
resource "google_secret_manager_secret" "api_key" {
  count = var.webhook_check ? 1 : 0

  secret_id           = "${var.name}-api-key"
  deletion_protection = !var.delete_stored_data

  replication {
    user_managed {
      dynamic "replicas" {
        for_each = var.secret_locations

        content {
          location = replicas.value
        }
      }
    }
  }

  depends_on = [time_sleep.enabled]
}

# All that this account may do.
resource "google_secret_manager_secret_iam_member" "watch_reads_api_key" {
  count = var.webhook_check ? 1 : 0

  secret_id = google_secret_manager_secret.api_key[0].id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members["watch"]
}

resource "google_cloudfunctions2_function" "watch" {
  count = var.webhook_check ? 1 : 0

  name        = "${var.name}-watch"
  location    = var.region
  description = "Asks Dastra about errors of the webhooks"

  build_config {
    runtime           = "python313"
    entry_point       = "watch"
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
    service_account_email            = google_service_account.this["watch"].email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    available_memory                 = "512Mi"
    available_cpu                    = "1"
    max_instance_request_concurrency = 1
    max_instance_count               = 1
    min_instance_count               = 0
    timeout_seconds                  = 60 # the secret and two requests to the API take 27 seconds at most
    environment_variables = merge(local.environment, {
      DASTRA_API_KEY_SECRET = "projects/${var.project}/secrets/${google_secret_manager_secret.api_key[0].secret_id}"
      DASTRA_API_URL        = var.api_url
      DASTRA_WEBHOOK_IDS    = join(",", var.webhook_ids)
      DASTRA_WORKSPACE_ID   = var.workspace_id > 0 ? tostring(var.workspace_id) : ""
      THREADS               = "1"
    })
    all_traffic_on_latest_revision = true
  }

  depends_on = [time_sleep.settled]
}

resource "google_cloud_run_v2_service_iam_member" "schedule_calls_watch" {
  count = var.webhook_check ? 1 : 0

  name     = google_cloudfunctions2_function.watch[0].name
  location = var.region
  role     = "roles/run.invoker"
  member   = local.members["schedule"]
}

resource "google_cloud_scheduler_job" "watch" {
  count = var.webhook_check ? 1 : 0

  name             = "${var.name}-watch"
  region           = coalesce(var.scheduler_region, var.region)
  description      = "Asks Dastra about errors of the webhooks"
  schedule         = "*/15 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "90s"

  retry_config {
    retry_count = 0 # the next run is fifteen minutes away
  }

  http_target {
    uri         = google_cloudfunctions2_function.watch[0].service_config[0].uri
    http_method = "POST"

    oidc_token {
      service_account_email = google_service_account.this["schedule"].email
      audience              = google_cloudfunctions2_function.watch[0].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.schedule_calls_watch]
}
