# What `terraform destroy` comes to first. The store and the secrets refuse to be deleted with something in them, but only
# when most of the rest is gone; this refuses before anything is.

resource "terraform_data" "guard" {
  input = var.delete_stored_data

  provisioner "local-exec" {
    when    = destroy
    command = self.input ? "exit 0" : "echo 'Nothing was destroyed: it would delete the store and the keys. If that is meant: terraform apply -var delete_stored_data=true && terraform destroy -var delete_stored_data=true' >&2 && exit 1"
  }

  # All that nothing else waits for, and through it the rest.
  depends_on = [
    google_cloud_run_v2_service_iam_member.public,
    google_cloud_scheduler_job.redrive,
    google_cloud_scheduler_job.watch,
    google_monitoring_alert_policy.this,
    google_monitoring_dashboard.this,
  ]
}
