// The function app: receives webhooks, and every five minutes puts back on the queue what had to wait.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

@description('The identity that it has: the whole id of the resource.')
param identityId string

@description('The same identity, as those who ask for its tokens name it.')
param identityClientId string

@description('The Application Insights component.')
param insightsName string

@description('The account of the function\'s host.')
param hostAccountName string

@description('The container there that holds the package to run.')
param packageContainerName string

@description('Memory of an instance in MB.')
param instanceMemoryMB int

@description('The most instances at once.')
param maximumInstanceCount int

@description('Instances that are kept running.')
param alwaysReadyInstances int

@description('The Front Door profile that alone may call; empty for anybody.')
param frontDoorId string

@description('How the host hands a request on.')
param httpForm string

@description('The receiver\'s own settings, by name.')
param settings object

// Requests that an instance takes at once, and the threads that handle them: more requests than threads would wait.
var concurrency = 16

// User names and passwords for uploads are off; azd deploys through Entra ID.
var publishing = ['ftp', 'scm']

var alwaysReady = [
  {
    name: 'http'
    instanceCount: alwaysReadyInstances
  }
]

var frontDoorOnly = [
  {
    name: 'front-door'
    description: 'Only through the own Front Door profile'
    priority: 100
    action: 'Allow'
    tag: 'ServiceTag'
    ipAddress: 'AzureFrontDoor.Backend'
    headers: {
      'x-azure-fdid': [frontDoorId]
    }
  }
]

resource hostAccount 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostAccountName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225:Wants two instances that are always ready, and so costs all the time.
  name: 'plan-dastra-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_17:Dastra has no client certificate; its signature is the authentication.
  // checkov:skip=CKV_AZURE_222:The webhook must be reachable for Dastra.
  // checkov:skip=CKV_AZURE_212:Flex Consumption adds instances as requests come.
  // checkov:skip=CKV_AZURE_213:Flex Consumption replaces instances by itself, and a probe would be refused like a scanner.
  // checkov:skip=CKV_AZURE_78:Flex Consumption refuses the setting; FTP is shut below, with its user.
  // checkov:skip=CKV_AZURE_18:Nothing that calls here speaks HTTP/2.
  // checkov:skip=CKV_AZURE_67:The same.
  name: 'func-dastra-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'receiver' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // Public on purpose: Dastra cannot log in to Azure. The function checks Dastra's own signature.
    publicNetworkAccess: 'Enabled'
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostAccount.properties.primaryEndpoints.blob}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? alwaysReady : []
        triggers: {
          http: {
            perInstanceConcurrency: concurrency
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ipSecurityRestrictions: empty(frontDoorId) ? null : frontDoorOnly
      ipSecurityRestrictionsDefaultAction: empty(frontDoorId) ? null : 'Deny'
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  // These take a list of variables for the configuration of a web site, and miss in it what belongs there.
  // checkov:skip=CKV_AZURE_13:Not a site's configuration.
  // checkov:skip=CKV_AZURE_63:Not a site's configuration.
  // checkov:skip=CKV_AZURE_65:Not a site's configuration.
  // checkov:skip=CKV_AZURE_66:Not a site's configuration.
  // checkov:skip=CKV_AZURE_80:Not a site's configuration.
  // checkov:skip=CKV_AZURE_88:Not a site's configuration.
  // checkov:skip=CKV_AZURE_222:Not a site's configuration.
  parent: app
  name: 'appsettings'
  properties: union(settings, {
    // By the blob service's URL and not by the account's name: the host then wants no queues and no tables.
    AzureWebJobsStorage__blobServiceUri: hostAccount.properties.primaryEndpoints.blob
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
    // For the receiver's own code. An app may have several identities of this kind, so none is used unless it is named.
    AZURE_CLIENT_ID: identityClientId
    // Nothing to see at the root, where nobody has business.
    AzureWebJobsDisableHomepage: 'true'
    HTTP_FORM: httpForm
    PYTHON_THREADPOOL_THREAD_COUNT: string(concurrency)
  })
}

resource publishingPolicies 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = [
  for kind in publishing: {
    parent: app
    name: kind
    properties: {
      allow: false
    }
  }
]

output id string = app.id
output name string = app.name
output webhookUrl string = 'https://${app.properties.defaultHostName}/api/receive'
