// Where logs go: Application Insights on a workspace of its own. Both take data from Entra ID identities only.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

@description('Days that logs are kept.')
param retentionDays int

@description('The most GB a day; -1 for no limit.')
param dailyCapGb int

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-dastra-${token}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyCapGb
    }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      // Without it Azure may keep for 31 days what it is to keep for 30.
      immediatePurgeDataOn30Days: retentionDays == 30
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-dastra-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
    // The last part of callers' addresses stays masked in what Azure logs by itself.
    DisableIpMasking: false
    // All of it: one line in a hundred that is lost here may be the one that alarms.
    SamplingPercentage: 100
  }
}

output workspaceId string = workspace.id
output workspaceName string = workspace.name
output workspaceCustomerId string = workspace.properties.customerId
output insightsName string = insights.name
