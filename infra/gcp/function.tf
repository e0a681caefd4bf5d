# The webhook. Everything it writes to exists before it does.

locals {
  # As many threads as requests at a time: a request that waits for a thread spends Dastra's 10 seconds.
  concurrency = 16

  environment = {
    DASTRA_QUEUE                 = google_pubsub_topic.events.id
    DASTRA_STORE                 = google_storage_bucket.store.name
    DASTRA_SIGNATURE_KEYS_SECRET = "projects/${var.project}/secrets/${google_secret_manager_secret.keys.secret_id}"
    DASTRA_SOURCE_IP_MODE        = var.source_ip_mode
    DASTRA_SOURCE_IP_ALLOWLIST   = join(",", var.source_ip_allowlist)
    DASTRA_TRUSTED_PROXY_HOPS    = tostring(var.trusted_proxy_hops)
    DASTRA_MAX_BODY_BYTES        = tostring(var.max_body_bytes)
    DASTRA_MAX_EVENT_AGE_SECONDS = tostring(var.max_event_age_seconds)
    DASTRA_TIME_BUDGET_SECONDS   = tostring(var.time_budget_seconds)
    DASTRA_QUEUE_BUDGET_SECONDS  = tostring(var.queue_budget_seconds)
    GOOGLE_CLOUD_PROJECT         = var.project # Cloud Run does not set it, and log lines name their trace by it
    WORKERS                      = "1"         # processes of the functions framework
    LOG_EXECUTION_ID             = "false"     # Google's default rewrites each log line, with what the request's header says
    THREADS                      = tostring(local.concurrency)
    MALLOC_ARENA_MAX             = "2"      # heaps; else each thread has one, as large as its largest requests made it
    MALLOC_MMAP_THRESHOLD_       = "262144" # bytes; larger blocks stay out of the heaps, and go back when they are freed
  }
}

resource "google_cloudfunctions2_function" "receive" {
  #checkov:skip=CKV_GCP_124:Dastra calls from the internet; the variable ingress closes it behind a load balancer.
  name        = "${var.name}-receive"
  location    = var.region
  description = "Checks Dastra's webhooks and puts genuine events on ${google_pubsub_topic.events.name}"

  build_config {
    runtime           = "python313"
    entry_point       = "receive"
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
    service_account_email            = google_service_account.this["receive"].email
    ingress_settings                 = var.ingress
    available_memory                 = "512Mi" # 16 requests of 4 MiB, and the process
    available_cpu                    = "1"     # less than one allows one request at a time only
    max_instance_request_concurrency = local.concurrency
    max_instance_count               = var.max_instances
    min_instance_count               = var.min_instances
    timeout_seconds                  = 30 # above every budget: the receiver answers by itself long before
    environment_variables            = local.environment
    all_traffic_on_latest_revision   = true
  }

  depends_on = [
    google_pubsub_subscription.events,
    google_pubsub_subscription.dead_letters,
    google_pubsub_topic_iam_member.dead_letters_arrive,
    google_pubsub_subscription_iam_member.dead_letters_leave,
    time_sleep.settled,
  ]
}

# Dastra cannot sign in to Google, so anybody may call; what is not signed with the webhook's key is refused by us.
# This is the only thing here that is public.
resource "google_cloud_run_v2_service_iam_member" "public" {
  count = var.public_access == "all-users" ? 1 : 0

  name     = google_cloudfunctions2_function.receive.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}
