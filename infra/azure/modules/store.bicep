// Two accounts. One for events, with personal data in it; one for the function's host, which wants to own its account.
// Neither has shared keys, so no connection string and no SAS of an account opens them.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

@description('Copies of what is stored.')
param redundancy string

var containerName = 'events'
var packageContainerName = 'package'

// A pointer may wait 30 days in the spool, then 4 on the queue, and still needs its claim. On the other clouds a dead
// letter expires after 14 days more; here it does not, and outlives its claim from the 50th day on.
// addresses/ has no rule: an address that was accepted stays accepted.
var lifetimes = [
  {
    prefix: 'claims/'
    days: 50
  }
  {
    prefix: 'spool/'
    days: 30
  }
  {
    prefix: 'quarantine/'
    days: 30
  }
]

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35:The function has no fixed address that a rule could name; only identities get in.
  // checkov:skip=CKV_AZURE_59:The check reads the network setting; no blob is public, and there are no shared keys.
  // checkov:skip=CKV_AZURE_206:Three zones by default; the parameter allows no less than three copies.
  // checkov:skip=CKV_AZURE_43:The name is worked out, and 19 to 21 characters long.
  name: 'stevents${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    // A function outside of a network has no address of its own, so the identity is the gate and not the network.
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    // Off, all three: a copy behind a deletion would keep personal data past its expiry.
    deleteRetentionPolicy: {
      enabled: false
    }
    containerDeleteRetentionPolicy: {
      enabled: false
    }
    isVersioningEnabled: false
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: containerName
  properties: {
    publicAccess: 'None'
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        for lifetime in lifetimes: {
          name: replace(lifetime.prefix, '/', '')
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${containerName}/${lifetime.prefix}']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: lifetime.days
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource hostAccount 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35:The function has no fixed address that a rule could name; only identities get in.
  // checkov:skip=CKV_AZURE_59:The check reads the network setting; no blob is public, and there are no shared keys.
  // checkov:skip=CKV_AZURE_206:Three zones by default; the parameter allows no less than three copies.
  // checkov:skip=CKV_AZURE_43:The name is worked out, and 19 to 21 characters long.
  name: 'sthost${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: 'Allow'
    }
  }
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: hostAccount
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: false
    }
    containerDeleteRetentionPolicy: {
      enabled: false
    }
    isVersioningEnabled: false
  }
}

resource packageContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: hostBlobs
  name: packageContainerName
  properties: {
    publicAccess: 'None'
  }
}

output accountName string = account.name
output containerName string = container.name
output url string = '${account.properties.primaryEndpoints.blob}${container.name}'
output hostAccountName string = hostAccount.name
output packageContainerName string = packageContainer.name
