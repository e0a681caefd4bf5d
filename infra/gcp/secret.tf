# The keys come after the deployment, since Dastra makes one for an address that must exist first. So the secret has no
# version here, and no key is ever in Terraform's state: `dastra-webhooks key set` adds it.

resource "google_secret_manager_secret" "keys" {
  secret_id           = "${var.name}-keys"
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
