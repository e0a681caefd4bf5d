// How long each table of Application Insights keeps what is logged. By themselves they keep it for 90 days, whatever the
// workspace says ("Log tables with 90-day default retention" in Azure's documentation); callers' addresses are in there.

@description('The Log Analytics workspace.')
param workspaceName string

@description('Days that logs are kept.')
param retentionDays int

var tableNames = [
  'AppAvailabilityResults'
  'AppBrowserTimings'
  'AppDependencies'
  'AppEvents'
  'AppExceptions'
  'AppMetrics'
  'AppPageViews'
  'AppPerformanceCounters'
  'AppRequests'
  'AppSystemEvents'
  'AppTraces'
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource tables 'Microsoft.OperationalInsights/workspaces/tables@2023-09-01' = [
  for table in tableNames: {
    parent: workspace
    name: table
    properties: {
      retentionInDays: retentionDays
      // No more than that: what lies beyond would go to an archive and stay.
      totalRetentionInDays: retentionDays
    }
  }
]
