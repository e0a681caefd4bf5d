# The tiles of the check of the webhooks stand before the others where the check is on, as deploy.sh puts them.

locals {
  dashboard   = jsondecode(templatefile("${path.module}/dashboard.json", local.names))
  check_tiles = jsondecode(templatefile("${path.module}/dashboard-check.json", local.names))
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode(merge(local.dashboard, {
    mosaicLayout = merge(local.dashboard.mosaicLayout, {
      tiles = concat([for tile in local.check_tiles : tile if var.webhook_check], local.dashboard.mosaicLayout.tiles)
    })
  }))

  depends_on = [time_sleep.settled]
}
