resource "google_monitoring_dashboard" "this" {
  dashboard_json = templatefile("${path.module}/dashboard.json", local.names)

  depends_on = [time_sleep.settled]
}
